from __future__ import annotations

import copy
import io
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune

import regtorch as rt
from cases import CONSTRAINTS, PENALTIES, ConstraintCase, PenaltyCase, every
from nets import NETS, channels_last, dense, everything, tied, weight_normed
from regtorch.terms import BoundTerms

Net = Callable[[], tuple[nn.Module, Tensor, Tensor]]
close = torch.testing.assert_close


def gradients(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def way_1(net: Net, rule: rt.Penalty) -> dict[str, Tensor]:
    model, x, y = net()
    reg = rule.on(model)
    (F.cross_entropy(model(x), y) + reg()).backward()
    return gradients(model)


def way_2(net: Net, rule: rt.Penalty, foreach: bool | None = None) -> dict[str, Tensor]:
    model, x, y = net()
    reg = rule.on(model)
    F.cross_entropy(model(x), y).backward()
    reg.add_grad_(foreach=foreach)
    return gradients(model)


def way_3(net: Net, rule: rt.Penalty) -> dict[str, Tensor]:
    model, x, y = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    rule.on(model).attach(optimizer)
    F.cross_entropy(model(x), y).backward()
    optimizer.step()
    return gradients(model)


@pytest.mark.parametrize("net", NETS.values(), ids=list(NETS))
@every(PENALTIES)
def test_the_three_ways_give_the_same_gradients(case: PenaltyCase, net: Net):
    expected = way_1(net, case.rule)
    for actual in (way_2(net, case.rule), way_2(net, case.rule, foreach=False), way_3(net, case.rule)):
        close(actual, expected, rtol=1e-12, atol=1e-12)


@every(PENALTIES)
def test_all_weights_and_biases(case: PenaltyCase):
    rule = type(case.rule)(select="all")
    close(way_2(everything, rule), way_1(everything, rule), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("contiguous", [True, False])
@pytest.mark.parametrize("rule", [rt.L1(0.1), rt.L2(0.1), rt.L1L2(0.1, 0.2)], ids=repr)
def test_weights_larger_than_a_block_beside_smaller_ones(rule: rt.Penalty, contiguous: bool):
    torch.manual_seed(0)
    shapes = [(3, 5), (700, 800), (1, 1), (600, 900), (0, 4)]
    weights = [torch.randn(shape, dtype=torch.float64) for shape in shapes]
    model = nn.ParameterDict({f"weight{i}": nn.Parameter(w if contiguous else w.T) for i, w in enumerate(weights)})
    start = {name: torch.randn_like(p) for name, p in model.items()}
    for name, p in model.items():
        p.grad = start[name].clone()
    reg = type(rule)(**{**vars(rule), "select": "all"}).on(model)
    reg.scale = 0.7
    reg.add_grad_()
    close(gradients(model), {n: start[n] + 0.7 * rule.grad(p) for n, p in model.items()}, rtol=1e-14, atol=1e-14)


@every(PENALTIES)
def test_a_weight_that_the_loss_does_not_use_gets_its_penalty(case: PenaltyCase):
    model = nn.ModuleDict({"used": nn.Linear(3, 2), "unused": nn.Linear(4, 3)}).double()
    model.requires_grad_()
    reg = case.rule.on(model)
    model["used"](torch.ones(1, 3, dtype=torch.float64)).sum().backward()
    reg.add_grad_()
    second = gradients(model)
    model.zero_grad()
    (model["used"](torch.ones(1, 3, dtype=torch.float64)).sum() + reg()).backward()
    close(second, gradients(model), rtol=1e-12, atol=1e-12)


@every(PENALTIES)
def test_gradient_accumulation(case: PenaltyCase):
    model, x, y = dense()
    reg = case.rule.on(model)
    for i in range(4):  # way 1 in every micro-batch, divided with the loss
        ((F.cross_entropy(model(x[i::4]), y[i::4]) + reg()) / 4).backward()
    expected = gradients(model)
    model.zero_grad()
    for i in range(4):
        (F.cross_entropy(model(x[i::4]), y[i::4]) / 4).backward()
    reg.add_grad_()
    close(gradients(model), expected, rtol=1e-12, atol=1e-12)


def test_clipping_sees_the_penalty_in_ways_1_and_2():
    model, x, y = dense()
    reg = rt.L2(0.5).on(model)
    (F.cross_entropy(model(x), y) + reg()).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 0.1)
    expected = gradients(model)
    model.zero_grad()
    F.cross_entropy(model(x), y).backward()
    reg.add_grad_()
    nn.utils.clip_grad_norm_(model.parameters(), 0.1)
    close(gradients(model), expected, rtol=1e-12, atol=1e-12)


def test_sparse_gradients():
    for select in ("embedding", "all"):
        results = []
        for way in (1, 2):
            torch.manual_seed(0)
            model = nn.Sequential(nn.Embedding(9, 4, sparse=True), nn.Linear(4, 2)).double()
            reg = rt.L2(0.1, select=select).on(model)
            loss = model(torch.tensor([1, 1, 5])).square().sum()
            (loss + reg() if way == 1 else loss).backward()
            if way == 2:
                reg.add_grad_()
            results.append(gradients(model))
        close(results[0], results[1], rtol=1e-12, atol=1e-12)


def test_half_precision_weights():
    torch.manual_seed(0)
    model = nn.Linear(300, 200).to(torch.bfloat16)
    for rule in (rt.L2(0.01), rt.L1(0.01), rt.GroupLasso(0.01)):
        reg = rule.on(model)
        model.zero_grad()
        reg().backward()
        expected = gradients(model)
        model.zero_grad()
        reg.add_grad_()
        close(gradients(model), expected)
        assert reg().dtype == torch.float32


@every(PENALTIES)
def test_strength_zero_touches_nothing(case: PenaltyCase):
    model, x, y = dense()
    reg = case.of_strength(0.0).on(model)
    assert reg() == 0
    reg().backward()
    reg.add_grad_()
    assert gradients(model) == {}
    assert set(reg.by_weight()) == {"0.weight", "2.weight", "4.weight"}
    optimizer = torch.optim.Adam(model.parameters())
    reg.attach(optimizer)
    other, *_ = dense()
    other_optimizer = torch.optim.Adam(other.parameters())
    for m, o in ((model, optimizer), (other, other_optimizer)):
        for _ in range(3):
            o.zero_grad()
            F.cross_entropy(m(x), y).backward()
            o.step()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_scale_multiplies_every_way():
    model, x, y = dense()
    reg = rt.L2(0.1).on(model)
    full = reg().detach()
    reg.scale = 0.25
    close(reg(), full * 0.25)
    close(torch.stack(list(reg.by_weight().values())).sum(), full * 0.25)
    reg.add_grad_()
    close(model[0].weight.grad, 0.05 * model[0].weight)
    reg.scale = 0
    model.zero_grad()
    reg.add_grad_()
    assert reg() == 0
    assert gradients(model) == {}


@pytest.mark.parametrize(("value", "error"), [(-1, ValueError), (math.nan, ValueError), ("1", TypeError)])
def test_scale_is_checked(value: float, error: type[Exception]):
    reg = rt.L2(0.1).on(nn.Linear(2, 2))
    with pytest.raises(error, match="scale must be a finite number of at least 0"):
        reg.scale = value


def test_sums():
    model, x, y = dense()
    weights, biases = rt.L2(0.1).on(model), rt.L1(0.2, select="bias").on(model)
    total = weights + biases
    close(total(), weights() + biases())
    close(torch.stack(list(total.by_weight().values())).sum(), total())
    biases.scale = 0.5
    close(total(), weights() + biases())
    total.scale = 2.0
    close(total(), 2 * (weights() + biases()))
    assert isinstance(sum([weights, biases]), BoundTerms)
    total().backward()
    expected = gradients(model)
    model.zero_grad()
    total.add_grad_()
    close(gradients(model), expected, rtol=1e-12, atol=1e-12)
    assert total.receipt().count("L2(lam=0.1)") == 1
    assert "L1(lam=0.2, select='bias')" in total.receipt()
    with pytest.raises(TypeError):
        weights + rt.MaxNorm(1.0).on(model)


def test_two_rules_on_one_weight_add_up_by_weight():
    model = nn.Linear(3, 2)
    total = rt.L2(0.1).on(model) + rt.L1(0.1).on(model)
    close(total.by_weight()["weight"], rt.L1L2(0.1, 0.1)(model.weight))


def test_a_tied_weight_counts_once():
    model, *_ = tied()
    reg = rt.L2(1.0, select="embedding|kernel").on(model)
    close(reg(), model.wte.weight.square().sum() + model.mix.weight.square().sum())
    assert "wte.weight = head.weight" in reg.receipt()


def test_frozen_weights_are_left_alone_also_when_frozen_later():
    model, *_ = dense()
    model[0].weight.requires_grad_(False)
    reg = rt.L2(1.0).on(model)
    assert set(reg.by_weight()) == {"2.weight", "4.weight"}
    assert "frozen" in reg.receipt()
    model[2].weight.requires_grad_(False)
    close(reg(), model[4].weight.square().sum())
    reg.add_grad_()
    assert set(gradients(model)) == {"4.weight"}
    model[4].weight.requires_grad_(False)
    assert reg() == 0


def test_tensors_are_read_again():
    model, *_ = dense()
    reg = rt.L2(1.0).on(model)
    state = {name: 2 * p for name, p in model.state_dict().items()}
    before = reg().detach()
    model.load_state_dict(state, assign=True)
    model.requires_grad_()
    close(reg(), 4 * before)
    model[4] = nn.Linear(4, 7).double()
    assert "4.weight  7×4" in reg.receipt()
    assert reg.by_weight()["4.weight"] == model[4].weight.square().sum()
    model[4] = nn.Tanh()
    with pytest.raises(LookupError, match="no weight '4.weight' any more; bind the rule to it again"):
        reg()


def test_nothing_enters_the_state_dict_and_a_copy_needs_its_own_binding():
    model, *_ = dense()
    keys = list(model.state_dict())
    reg = rt.L2(1.0).on(model)
    model.reg = reg
    assert list(model.state_dict()) == keys
    twin = copy.deepcopy(model)
    twin[0].weight.data.zero_()
    assert twin.reg() < reg()  # a rule kept on the module is copied with it
    buffer = io.BytesIO()
    torch.save(reg, buffer)
    buffer.seek(0)
    close(torch.load(buffer, weights_only=False)(), reg())


def test_weight_norm_is_seen_through():
    model, x, y = weight_normed()
    reg = rt.L2(1.0).on(model)
    assert list(reg.by_weight()) == ["0.weight", "2.weight", "4.weight"]
    close(reg.by_weight()["0.weight"], model[0].weight.square().sum())
    buffers = [b.clone() for b in model.buffers()]
    reg()
    reg.add_grad_()
    assert all(torch.equal(a, b) for a, b in zip(buffers, model.buffers(), strict=True))  # no power iteration
    assert all(m.training for m in model.modules())


def test_the_older_weight_norm_and_pruning_are_seen_through():
    model, x, y = dense()
    with pytest.warns(FutureWarning, match="weight_norm"):
        nn.utils.weight_norm(model[0])
    prune.random_unstructured(model[2], "weight", 0.5)
    reg = rt.L2(1.0).on(model)
    assert list(reg.by_weight()) == ["0.weight", "2.weight", "4.weight"]
    model(x)
    close(reg(), sum(model[i].weight.square().sum() for i in (0, 2, 4)))
    reg().backward()
    expected = gradients(model)
    model.zero_grad()
    reg.add_grad_()
    close(gradients(model), expected, rtol=1e-12, atol=1e-12)


def test_compiled_and_data_parallel_wrappers_are_seen_through():
    model, *_ = dense()
    expected = list(rt.L2(1.0).on(model).by_weight())
    assert list(rt.L2(1.0).on(torch.compile(model, backend="eager")).by_weight()) == expected
    assert list(rt.L2(1.0).on(nn.DataParallel(model)).by_weight()) == expected
    holder = nn.ModuleDict({"inner": torch.compile(model, backend="eager")})
    assert list(rt.L2(1.0).on(holder).by_weight()) == ["inner." + name for name in expected]


def test_transposed_convolutions_have_their_units_in_dim_1():
    torch.manual_seed(0)
    for groups in (1, 2):
        up = nn.ConvTranspose2d(4, 6, 3, groups=groups).double()
        w = up.weight  # (in, out / groups, 3, 3)
        norms = torch.stack(
            [w[g * 4 // groups : (g + 1) * 4 // groups, o].norm() for g in range(groups) for o in range(6 // groups)]
        )
        close(rt.GroupLasso(1.0).on(up)(), math.sqrt(4 // groups * 9) * norms.sum())
        bound = rt.MaxNorm(0.01).on(up)
        close(bound.violation(), norms.max() - 0.01)
        bound.project_()
        assert bound.violation() < 1e-12
        assert (w != 0).all()


@every(CONSTRAINTS)
def test_projection_is_the_rule_on_each_weight(case: ConstraintCase):
    model, *_ = dense()
    bound = case.rule.on(model)
    expected = {
        name: case.rule(p.detach()) if name.endswith("weight") else p.detach().clone()
        for name, p in model.named_parameters()
    }
    bound.project_()
    close(dict(model.named_parameters()), expected, rtol=0, atol=0)
    if case.idempotent:
        assert bound.violation() < 1e-12
    assert type(case.rule).__name__ in bound.receipt()


@every(CONSTRAINTS)
def test_projection_in_either_memory_format(case: ConstraintCase):
    (model, *_), (other, *_) = everything(), channels_last()
    for net in (model, other):
        case.rule.on(net).project_()
    close(dict(other.named_parameters()), dict(model.named_parameters()), rtol=1e-12, atol=1e-12, check_stride=False)


def test_explicit_dims_are_torch_dims_also_when_transposed():
    up = nn.ConvTranspose2d(4, 6, 3).double()
    expected = rt.MaxNorm(0.1, dim=(2, 3))(up.weight.detach())
    rt.MaxNorm(0.1, dim=(2, 3)).on(up).project_()
    close(up.weight.detach(), expected)


def test_a_computed_weight_cannot_be_projected():
    model = nn.Sequential(parametrizations.weight_norm(nn.Linear(3, 2)), nn.Linear(2, 2))
    with pytest.raises(TypeError, match="'0.weight' is computed by a parametrization .*-name:0.weight"):
        rt.MaxNorm(1.0).on(model)
    rt.MaxNorm(1.0, select="kernel -name:0.weight").on(model).project_()


def test_a_weight_parametrized_after_binding_is_not_projected_in_silence():
    model = nn.Linear(3, 2)
    bound = rt.MaxNorm(0.1).on(model)
    parametrizations.weight_norm(model)
    with pytest.raises(TypeError, match="computed by a parametrization"):
        bound.project_()


def test_dims_that_do_not_fit_show_at_binding():
    with pytest.raises(ValueError, match=r"dim must name dims of the weight.*\(2, 3\)"):
        rt.MaxNorm(1.0, dim=(1, 2, 3)).on(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(3, 2)))


def test_a_weight_flattened_after_binding_is_refused():
    model = nn.Linear(3, 2)
    reg = rt.L2(0.1).on(model)
    model.weight = nn.Parameter(model.weight.detach().flatten())
    with pytest.raises(LookupError, match="'weight' was given another number of dims since L2"):
        reg()
    model.weight._fsdp_flattened = True
    with pytest.raises(LookupError, match="'weight' was sharded by FSDP since L2"):
        reg()


@pytest.mark.parametrize("lam", [1e-8, 1e-6, 1e-2])
def test_half_precision_keeps_small_strengths(lam: float):
    model = nn.Linear(3, 2, bias=False).half()
    nn.init.constant_(model.weight, 100.0)
    model.weight.grad = torch.zeros_like(model.weight)
    rt.L2(lam).on(model).add_grad_()
    expected = torch.full((2, 3), 200.0 * lam, dtype=torch.float64)
    torch.testing.assert_close(model.weight.grad.double(), expected, rtol=2e-2, atol=0)


@every(PENALTIES)
def test_a_gradient_that_is_one_number_for_all(case: PenaltyCase):
    model = nn.Linear(3, 2, bias=False).double()
    model.weight.grad = torch.ones((), dtype=torch.float64).expand(2, 3)
    case.rule.on(model).add_grad_()
    (pull,) = torch.autograd.grad(case.rule(model.weight), [model.weight])
    torch.testing.assert_close(model.weight.grad, 1 + pull, rtol=1e-12, atol=1e-12)


def test_complex_weights_are_refused():
    with pytest.raises(TypeError, match="'weight' is complex"):
        rt.L2(0.1).on(nn.Linear(2, 2, dtype=torch.complex64))


def test_two_dtypes_in_one_net():
    model = nn.Sequential(nn.Linear(3, 3).double(), nn.Linear(3, 3))
    for rule in (rt.L2(0.1), rt.L1(0.1), rt.Orthogonal(0.1)):
        reg = rule.on(model)
        close(reg(), sum(v.double() for v in reg.by_weight().values()))
        model.zero_grad()
        reg().backward()
        expected = gradients(model)
        model.zero_grad()
        reg.add_grad_()
        reg.add_grad_()  # once into missing gradients, once into those there are
        close(gradients(model), {k: 2 * v for k, v in expected.items()})


def test_sparsity_is_the_share_of_exact_zeros():
    model = nn.Linear(4, 2)
    with torch.no_grad():
        model.weight[0] = 0
    assert rt.L1(0.1).on(model).sparsity() == {"weight": 0.5}


def test_receipt_says_what_was_chosen_and_why_the_rest_was_not():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(0.1)
    assert rt.L2(0.5, select="kernel -name:3.*").on(model).receipt() == "\n".join(
        [
            "L2(lam=0.5, select='kernel -name:3.*'): 1 weight, 108 parameters, penalty 0.54",
            "    0.weight  4×3×3×3  108  0.54",
            "  left out:",
            "    0.bias    4          4  bias, not kernel",
            "    1.weight  4          4  norm, not kernel",
            "    1.bias    4          4  norm, not kernel",
            "    3.weight  2×4        8  -name:3.*",
            "    3.bias    2          2  bias, not kernel",
        ]
    )
