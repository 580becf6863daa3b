"""Weights that are structured, tiny, huge, not finite, or of another shape than at binding."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn, optim

import regtorch as rt
from ways import close

SINGULAR = (rt.NuclearNorm(0.1), rt.SpectralNorm(0.1))


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("padding", [1, 4])
def test_rows_that_mirror_each_other_are_found_by_the_spectral_norm(transposed: bool, padding: int):
    w = torch.zeros(3, 2 + padding, dtype=torch.float64)
    w[0, 0], w[1, 0], w[2, 1] = 1.0, -1.0, 1.5**0.5  # σ = √2 of the mirrored rows, and √1.5
    w = w.T if transposed else w
    close(rt.SpectralNorm(0.1)(w), torch.tensor(0.1 * 2**0.5, dtype=torch.float64))
    close(rt.SpectralNorm(0.1).grad(w).square().sum().sqrt(), torch.tensor(0.1, dtype=torch.float64))


@pytest.mark.parametrize("number", [math.nan, math.inf])
@pytest.mark.parametrize("at", [(0, 0), (1, 2)])
def test_singular_values_of_what_is_not_finite_are_nan(number: float, at: tuple[int, int]):
    w = torch.randn(3, 4)
    w[at] = number
    for rule in SINGULAR:
        assert rule(w).isnan()
        assert rule.grad(w).isnan().all()
        assert torch.func.vmap(rule)(torch.stack([w, torch.ones(3, 4)])).isnan().tolist() == [True, False]
    assert rt.NuclearNorm(0.1).prox(w, 1.0).isnan().all()
    assert rt.SpectralMax(1.0)(w).isnan().all()
    assert rt.SpectralMax(1.0).violation(w).isnan()


@pytest.mark.parametrize("rule", [*SINGULAR, rt.SpectralMax(1.0)], ids=lambda rule: rule.name)
def test_a_training_that_diverged_goes_on(rule: rt.Penalty | rt.Constraint):
    model = nn.Linear(4, 3)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    rule.on(model).attach(optimizer)
    (model(torch.ones(1, 4)).sum() * math.nan).backward()
    optimizer.step()
    optimizer.step()
    assert model.weight.isnan().all()


@pytest.mark.parametrize("rule", [rt.Hoyer(0.3), rt.HoyerSquare(0.3)], ids=lambda rule: rule.name)
@pytest.mark.parametrize("size", [1e-30, 1e-25, 1e-20, 1e15, 1e20, 1e38])
def test_hoyers_measures_at_every_magnitude(rule: rt.Penalty, size: float):
    w = (torch.tensor([[1.0, 2.0], [-3.0, 0.0]]) * size).requires_grad_()
    exact = w.detach().double()
    value = rule(w)
    value.backward()
    assert isinstance(w.grad, Tensor)
    close(value, rule(exact).float(), rtol=1e-6, atol=0)
    for g in (w.grad, rule.grad(w)):
        close(g.double() * size, rule.grad(exact) * size, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rule", [rt.Hoyer(0.3), rt.HoyerSquare(0.3)], ids=lambda rule: rule.name)
def test_hoyers_measures_of_nothing(rule: rt.Penalty):
    for w in (torch.zeros(2, 3), torch.zeros(0, 3)):
        assert rule(w) == 0
        assert torch.equal(rule.grad(w), w)


MASKS = {"0.weight": torch.ones(4, 3) > 0}


@pytest.mark.parametrize(
    "make",
    [
        lambda: rt.L2SP(0.1),
        lambda: rt.EWC(0.1, {"0.weight": torch.ones(4, 3)}),
        lambda: rt.masked(rt.L1(0.1), MASKS),
        lambda: rt.masked(rt.GroupLasso(0.1), MASKS),
        lambda: rt.masked(rt.TotalVariation(0.1), MASKS),
        lambda: rt.masked(rt.L2SP(0.1), MASKS),
    ],
)
def test_a_layer_replaced_by_one_of_another_shape_is_not_counted_several_times(make: Callable[[], rt.Penalty]):
    net = nn.Sequential(nn.Linear(3, 4))
    reg = make().on(net)
    net[0] = nn.Linear(3, 1)  # which broadcasting would make a (4, 3)
    nn.init.ones_(net[0].weight).grad = torch.zeros(1, 3)
    for use in (reg, reg.add_grad_):
        with pytest.raises(ValueError, match=r"must have the shape \(4, 3\) of its .* received \(1, 3\); if its layer"):
            use()


def test_a_masked_constraint_neither():
    net = nn.Sequential(nn.Linear(3, 4))
    bound = rt.masked(rt.NonNeg(), MASKS).on(net)
    net[0] = nn.Linear(3, 1)
    for use in (bound.project_, bound.violation):
        with pytest.raises(ValueError, match=r"NonNeg: the weight must have the shape \(4, 3\) of its mask"):
            use()
