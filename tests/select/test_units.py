"""Output units of every layer: norms and groups act on them, whichever dim they are stored in."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn, optim

import regtorch as rt
from regtorch.select.layout import Layout
from regtorch.select.weight import weights_of

close = torch.testing.assert_close


class Conv1D(nn.Module):
    """Hugging Face's: a Linear with its weight as (inputs, units)."""

    def __init__(self, units: int, inputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, units))
        self.bias = nn.Parameter(torch.zeros(units))


class Holder(nn.Module):
    def __init__(self, **shapes: tuple[int, ...]) -> None:
        super().__init__()
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.randn(shape)))


class MixtralExperts(Holder):
    """(experts, units, inputs)."""


class GptOssExperts(Holder):
    """(experts, inputs, units)."""

    is_transposed = True


class Llama4TextExperts(Holder):
    """(experts, inputs, units), which it does not say."""


class XLNetRelativeAttention(Holder):
    """q is (inputs, heads, units), o (units, heads, inputs)."""


Units = Callable[[Tensor], Tensor]
LAYERS: dict[str, tuple[nn.Module, str, Units]] = {
    "Linear": (nn.Linear(4, 6), "weight", lambda w: w),
    "Conv2d": (nn.Conv2d(4, 6, 3, groups=2), "weight", lambda w: w.flatten(1)),
    "Conv1d": (nn.Conv1d(4, 6, 3), "weight", lambda w: w.flatten(1)),
    "ConvTranspose2d": (nn.ConvTranspose2d(4, 6, 3), "weight", lambda w: w.transpose(0, 1).flatten(1)),
    "ConvTranspose1d grouped": (
        nn.ConvTranspose1d(4, 6, 3, groups=2),
        "weight",
        lambda w: torch.cat([w[:2].transpose(0, 1).flatten(1), w[2:].transpose(0, 1).flatten(1)]),
    ),
    "Bilinear": (nn.Bilinear(3, 4, 5), "weight", lambda w: w.flatten(1)),
    "in_proj": (nn.MultiheadAttention(4, 2), "in_proj_weight", lambda w: w),
    "LSTM": (nn.LSTM(3, 2), "weight_ih_l0", lambda w: w),
    "Conv1D": (Conv1D(6, 4), "weight", lambda w: w.T),
    "experts": (MixtralExperts(gate_up_proj=(3, 6, 4)), "gate_up_proj", lambda w: w.flatten(0, 1)),
    "experts transposed": (GptOssExperts(down_proj=(3, 4, 6)), "down_proj", lambda w: w.transpose(1, 2).flatten(0, 1)),
    "experts of Llama 4": (
        Llama4TextExperts(gate_up_proj=(3, 4, 6)),
        "gate_up_proj",
        lambda w: w.transpose(1, 2).flatten(0, 1),
    ),
    "XLNet q": (XLNetRelativeAttention(q=(4, 2, 3)), "q", lambda w: w.flatten(1).T),
    "XLNet o": (XLNetRelativeAttention(o=(4, 2, 3)), "o", lambda w: w.flatten(1)),
    "own conv": (Holder(weight=(6, 4, 3)), "weight", lambda w: w.flatten(1)),
}
Case = tuple[nn.Module, str, Units]


@pytest.fixture(params=LAYERS.values(), ids=LAYERS)
def case(request: pytest.FixtureRequest) -> Case:
    model, name, units = request.param
    model = model.double()
    with torch.no_grad():
        w = model.get_parameter(name)
        w.copy_(torch.randn(w.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))
        w.grad = None
    return model, name, units


def test_group_lasso_counts_units(case: Case):
    model, name, units = case
    w = model.get_parameter(name)
    reg = rt.GroupLasso(0.3, select=f"name:{name}").on(model)
    u = units(w)
    expected = 0.3 * math.sqrt(u.shape[1]) * u.norm(dim=1).sum()
    close(reg(), expected)
    (gradient,) = torch.autograd.grad(expected, w)
    for before in (torch.ones_like(w), None):
        w.grad = before
        reg.add_grad_()
        close(w.grad, gradient if before is None else 1 + gradient)


def test_max_norm_bounds_units(case: Case):
    model, name, units = case
    w = model.get_parameter(name)
    before = units(w).detach().clone()
    bound = float(0.7 * before.norm(dim=1).mean())
    constraint = rt.MaxNorm(bound, select=f"name:{name}").on(model)
    constraint.project_()
    close(units(w).detach(), before * (bound / before.norm(dim=1, keepdim=True)).clamp(max=1))
    assert constraint.violation() < 1e-12


def test_proximal_steps_empty_units(case: Case):
    model, name, units = case
    w = model.get_parameter(name)
    lengths = units(w).detach().norm(dim=1)
    strength = float(lengths.median()) / math.sqrt(units(w).shape[1])
    w.grad = torch.zeros_like(w)
    optimizer = optim.SGD([w], lr=1.0)
    rt.GroupLasso(strength, select=f"name:{name}").on(model).attach(optimizer, proximal=True)
    optimizer.step()
    close(units(w).detach().norm(dim=1), (lengths - lengths.median()).clamp(min=0))


def test_proximal_steps_with_a_step_for_each_coordinate(case: Case):
    """Every coordinate has the step size of its own gradient, so that equal ones give what one step size gives."""
    model, name, units = case
    w = model.get_parameter(name)
    lengths = units(w).detach().norm(dim=1)
    strength = float(lengths.median()) / math.sqrt(units(w).shape[1])
    w.grad = torch.full_like(w, 1e-12)
    optimizer = optim.Adam([w], lr=1e-12, eps=0.0)
    rt.GroupLasso(strength, select=f"name:{name}").on(model).attach(optimizer, proximal=True)
    optimizer.step()  # the step size is lr/|g| = 1
    close(units(w).detach().norm(dim=1), (lengths - lengths.median()).clamp(min=0), rtol=1e-6, atol=1e-6)


def test_orthogonal_compares_units(case: Case):
    model, name, units = case
    u = torch.nn.functional.normalize(units(model.get_parameter(name)), dim=1)
    cosines = (u @ u.T).abs()
    expected = (cosines.sum() - cosines.diagonal().sum()) / (len(u) * (len(u) - 1))
    close(rt.Orthogonal(1.0, select=f"name:{name}").on(model)(), expected)


def test_the_way_back(case: Case):
    model, name, _ = case
    (weight,) = (w for w in weights_of(model) if w.name == name)
    w = model.get_parameter(name).detach()
    there = weight.layout.units_first(w)
    assert torch.equal(weight.layout.stored(there, w.shape), w)
    if weight.layout.is_view:
        assert there.untyped_storage().data_ptr() == w.untyped_storage().data_ptr()


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (nn.Linear(4, 6), "unit dim 0"),
        (Conv1D(6, 4), "unit dim 1"),
        (nn.ConvTranspose1d(2, 3, 1), "unit dim 1"),
        (GptOssExperts(down_proj=(3, 4, 6)), "unit dims 0, 2"),
    ],
)
def test_the_receipt_shows_the_dim(model: nn.Module, text: str):
    assert text in rt.MaxNorm(1.0).on(model).receipt()
    assert text in rt.GroupLasso(1.0).on(model).receipt()
    assert "unit dim" not in rt.L2(1.0).on(model).receipt()


class Moe(Holder):
    """Somebody's own."""


@pytest.mark.parametrize("rule", [rt.GroupLasso(0.1), rt.MaxNorm(1.0), rt.UnitNorm(), rt.Orthogonal(0.1)], ids=str)
def test_units_that_are_not_known_are_refused(rule: rt.Penalty | rt.Constraint):
    with pytest.raises(TypeError, match=r"the dim of the output units of the weight 'w1' \(3×4×6\) is unknown"):
        rule.on(Moe(w1=(3, 4, 6)))
    with pytest.raises(TypeError, match=r"leave it out with -name:0\.w1"):
        rule.on(nn.Sequential(Moe(w1=(3, 4, 6))))


def test_where_units_do_not_matter_or_dim_names_them_nothing_is_refused():
    model = Moe(w1=(3, 4, 6)).double()
    rt.L2(0.1).on(model)
    rt.L1L2(0.1, 0.1).on(model).add_grad_()
    for rule in (rt.Hoyer(0.1), rt.HoyerSquare(0.1), rt.TotalVariation(0.1), rt.L2SP(0.1), rt.GroupLasso(0.1, dim=1)):
        rule.on(model).add_grad_()
    rt.NonNeg().on(model).project_()
    rt.MaxNorm(0.5, dim=1).on(model).project_()
    assert model.w1.norm(dim=1).max() < 0.5 + 1e-12


@pytest.mark.parametrize(
    ("model", "view"),
    [
        (nn.Linear(4, 6), True),
        (Conv1D(6, 4), True),
        (nn.ConvTranspose2d(4, 6, 3), True),
        (nn.ConvTranspose2d(4, 6, 3, groups=2), False),
        (GptOssExperts(down_proj=(3, 4, 6)), False),
    ],
)
def test_units_of_one_dim_are_written_to_in_place(model: nn.Module, view: bool):
    weight = next(w for w in weights_of(model) if w.role == "kernel")
    assert weight.layout.is_view == view
    w = weight.read(model).detach()
    shared = weight.layout.units_first(w).untyped_storage().data_ptr() == w.untyped_storage().data_ptr()
    assert shared == view


def test_an_unknown_layout_is_left_as_it_is():
    w = torch.randn(3, 4, 6)
    assert torch.equal(Layout(None).units_first(w), w)
    assert str(Layout(None)) == "units unknown"
