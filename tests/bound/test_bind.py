from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import regtorch as rt
from cases import PENALTIES, PenaltyCase, every
from nets import NETS, dense, everything
from regtorch.bound.terms import BoundTerms
from ways import Net, close, gradients, way_1, way_2, way_3


@pytest.mark.parametrize("net", NETS.values(), ids=list(NETS))
@every(PENALTIES)
def test_the_three_ways_give_the_same_gradients(case: PenaltyCase, net: Net):
    expected = way_1(net, case.rule)
    for actual in (way_2(net, case.rule), way_2(net, case.rule, foreach=False), way_3(net, case.rule)):
        close(actual, expected, rtol=1e-12, atol=1e-12)


@every(PENALTIES)
def test_all_weights_and_biases(case: PenaltyCase):
    rule = replace(case.rule, select="all")
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
    assert total.receipt() == weights.describe(2.0) + "\n\n" + biases.describe(1.0)
    assert repr(total) == f"{weights!r} + {biases!r}"
    for add in (lambda: weights + rt.MaxNorm(1.0).on(model), lambda: 1 + weights, lambda: 0.0 + weights):
        with pytest.raises(TypeError):
            add()


def test_two_rules_on_one_weight_add_up_by_weight():
    model = nn.Linear(3, 2)
    total = rt.L2(0.1).on(model) + rt.L1(0.1).on(model)
    close(total.by_weight()["weight"], rt.L1L2(0.1, 0.1)(model.weight))


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
    model = nn.ModuleDict({"a": nn.Linear(4, 4), "b": nn.Linear(1, 1)})
    with torch.no_grad():
        model["a"].weight[0] = 0
        model["b"].weight[:] = 0
    assert rt.L1(0.1).on(model).sparsity() == {"a.weight": 0.25, "b.weight": 1.0}


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
    reg = rt.L2(0.5, select="name:0.weight").on(model)
    reg.scale = 0.5
    assert "1 weight, 108 parameters, penalty 0.27 (scale 0.5)\n" in reg.receipt()
