"""Which tensors a bound rule acts on: tied, frozen, replaced, computed, wrapped and transposed ones."""

from __future__ import annotations

import copy
import io
import math

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize, prune

import regtorch as rt
from nets import dense, tied, weight_normed
from ways import close, gradients


def test_a_tied_weight_counts_once():
    model, *_ = tied()
    reg = rt.L2(1.0, select="embedding|kernel").on(model)
    close(reg(), model.wte.weight.square().sum() + model.mix.weight.square().sum())
    assert "wte.weight = head.weight" in reg.receipt()


def test_weights_that_are_tied_later_count_once():
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4)).double()
    reg, bound = rt.L2(1.0).on(model), rt.MaxNorm(0.1).on(model)
    model[2].weight = model[0].weight
    close(reg(), model[0].weight.square().sum())
    reg.add_grad_()
    close(model[0].weight.grad, 2 * model[0].weight)
    assert set(bound.by_weight()) == {"0.weight"}


def test_weights_that_are_no_longer_tied_are_missed():
    model, *_ = tied()
    reg = rt.L2(1.0, select="embedding|kernel").on(model)
    shared = model.head.weight
    model.head.weight = nn.Parameter(shared.detach().clone())
    with pytest.raises(
        LookupError, match=r"'wte.weight' and 'head.weight' were one tied weight .* bind the rule again"
    ):
        reg()
    model.head.weight = shared
    reg()
    model.head = nn.Identity()  # has no weight
    reg()
    assert set(rt.L2(1.0, select="embedding|kernel").on(model).by_weight()) == {"wte.weight", "mix.weight"}


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
    with pytest.raises(LookupError, match="no longer has a weight '4.weight'; bind the rule again"):
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


class Doubled(nn.Module):
    """A parametrization with a parameter that it does not use."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.ones(3))

    def forward(self, w: torch.Tensor) -> torch.Tensor:
        return 2 * w


def test_a_parameter_that_a_parametrization_does_not_use_gets_no_gradient():
    model = nn.Linear(3, 2, bias=False).double()
    parametrize.register_parametrization(model, "weight", Doubled())
    rt.L2(0.1).on(model).add_grad_()
    behind = model.parametrizations.weight
    close(behind.original.grad, 0.2 * 4 * behind.original)
    assert behind[0].unused.grad is None


def test_a_rule_of_strength_zero_does_not_mind_that_its_weights_were_replaced():
    model, *_ = dense()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    rt.L2(0.0).on(model).attach(optimizer)
    optimizer.step()
    for layer in (model[0], model[2], model[4]):
        layer.weight = nn.Parameter(layer.weight.detach().clone())
    optimizer.step()
