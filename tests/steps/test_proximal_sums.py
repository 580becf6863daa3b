"""Several penalties on one weight by one proximal step: that of their sum, where it is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn, optim

import regtorch as rt
from nets import dense
from regtorch.checks import nonnegative

close = torch.testing.assert_close

SUMS: dict[str, tuple[rt.Penalty, ...]] = {
    "sparse group lasso": (rt.L1(0.05), rt.GroupLasso(0.04)),
    "in the other order": (rt.GroupLasso(0.04), rt.L1(0.05)),
    "L2 first": (rt.L2(0.3), rt.GroupLasso(0.04)),
    "L2 last": (rt.GroupLasso(0.04), rt.L2(0.3)),
    "L1 and L2": (rt.L1(0.05), rt.L2(0.3)),
    "L1 twice": (rt.L1(0.05), rt.L1(0.03, select="all")),
    "group lasso twice": (rt.GroupLasso(0.04), rt.GroupLasso(0.02, select="all")),
    "all": (rt.L2(0.3), rt.GroupLasso(0.04), rt.L1(0.05), rt.L1L2(0.01, 0.1)),
}


def stationarity(rules: tuple[rt.Penalty, ...], w: Tensor, z: Tensor, step: Tensor) -> Tensor:
    """How far 0 lies from the subdifferential of Σ rule(z) + Σ (z - w)²/(2·step) at z, on live units and dead ones."""
    l1 = sum(r.coefficients[0] for r in rules if isinstance(r, rt.L1 | rt.L2 | rt.L1L2))
    l2 = sum(r.coefficients[1] for r in rules if isinstance(r, rt.L1 | rt.L2 | rt.L1L2))
    group = sum(r.lam for r in rules if isinstance(r, rt.GroupLasso)) * w.shape[1] ** 0.5
    force = (z - w) / step + 2 * l2 * z
    norm = z.norm(dim=1, keepdim=True)
    live = norm > 0
    smooth = force + torch.where(live, group * z / norm.where(live, 1.0), 0.0)
    beyond = torch.where(z != 0, (smooth + l1 * z.sign()).abs(), (smooth.abs() - l1).clamp(min=0))
    dead = ((force.abs() - l1).clamp(min=0).norm(dim=1, keepdim=True) - group).clamp(min=0)
    return torch.where(live, beyond, dead.expand_as(z))


@pytest.mark.parametrize("rules", SUMS.values(), ids=SUMS)
@pytest.mark.parametrize("make", [lambda p: optim.SGD(p, 0.7), lambda p: optim.Adam(p, 0.3)], ids=["SGD", "Adam"])
@given(seed=st.integers(0, 2**31))
def test_is_the_minimum_of_the_sum(rules: tuple[rt.Penalty, ...], make: Any, seed: int):
    generator = torch.Generator().manual_seed(seed)
    model = nn.Linear(4, 6, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.randn(6, 4, generator=generator, dtype=torch.float64))
        model.weight.mul_(torch.logspace(-2, 0, 6, dtype=torch.float64)[:, None])
    model.weight.grad = torch.randn(6, 4, generator=generator, dtype=torch.float64)
    optimizer = make(model.parameters())
    sizes: list[Tensor] = []
    before: list[Tensor] = []

    def look(optimizer: optim.Optimizer, args: object, kwargs: object) -> None:
        from regtorch.steps.optimizers import step_size

        before.append(model.weight.detach().clone())
        size = step_size(optimizer, optimizer.param_groups[0], model.weight)
        sizes.append(torch.as_tensor(size, dtype=torch.float64).expand_as(model.weight))

    optimizer.register_step_post_hook(look)
    total = sum(rule.on(model) for rule in rules)
    total.attach(optimizer, proximal=True)
    optimizer.step()
    assert stationarity(rules, before[0], model.weight.detach(), sizes[0]).max() < 1e-9


def test_attached_apart_they_act_as_the_sum():
    results = []
    for together in (True, False):
        model, x, y = dense()
        optimizer = optim.SGD(model.parameters(), 0.1)
        bound = [rt.L1(0.02).on(model), rt.GroupLasso(0.01).on(model), rt.L2(0.1).on(model)]
        for one in [sum(bound)] if together else bound:
            one.attach(optimizer, proximal=True)
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        results.append(list(model.parameters()))
    close(results[0], results[1], rtol=0, atol=0)


def test_scales_weigh_the_terms():
    model = nn.Linear(4, 3, bias=False).double()
    before = model.weight.detach().clone()
    model.weight.grad = torch.zeros_like(model.weight)
    l1, group = rt.L1(0.1).on(model), rt.GroupLasso(0.1).on(model)
    l1.scale, group.scale = 0.5, 2.0
    total = l1 + group
    total.scale = 0.25
    optimizer = optim.SGD(model.parameters(), 1.0)
    total.attach(optimizer, proximal=True)
    optimizer.step()
    expected = rt.GroupLasso(0.1).prox(rt.L1(0.1).prox(before, 0.125), 0.5)
    close(model.weight.detach(), expected, rtol=1e-12, atol=1e-14)
    total.scale = 0.0
    optimizer.step()
    close(model.weight.detach(), expected, rtol=1e-12, atol=1e-14)


@dataclass(frozen=True, repr=False)
class KnowsItsShape(rt.Penalty):
    """λ/2 Σ (w - 1)² on weights of one shape, given only by its formulas."""

    lam: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(lam=nonnegative("KnowsItsShape", "lam", self.lam))

    @property
    def active(self) -> bool:
        return self.lam > 0

    def __call__(self, w: Tensor) -> Tensor:
        assert w.shape == (3, 4)
        return self.lam / 2 * (w - 1).square().sum()

    def grad(self, w: Tensor) -> Tensor:
        return self.lam * (w.detach() - 1)

    def prox(self, w: Tensor, step: float | Tensor) -> Tensor:
        assert w.shape == (3, 4)
        return (w + step * self.lam) / (1 + step * self.lam)


def test_a_rule_that_knows_its_shape_can_be_attached_and_composed_with_l2():
    model = nn.Linear(4, 3, bias=False).double()
    before = model.weight.detach().clone()
    model.weight.grad = torch.zeros_like(model.weight)
    optimizer = optim.SGD(model.parameters(), 0.5)
    (KnowsItsShape(0.3).on(model) + rt.L2(0.2).on(model)).attach(optimizer, proximal=True)
    optimizer.step()
    # (z - w)/0.5 + 0.3 (z - 1) + 0.4 z = 0
    close(model.weight.detach(), (2 * before + 0.3) / 2.7)


def test_sums_without_a_known_proximal_step_are_refused_and_leave_nothing():
    model = nn.Linear(4, 3, bias=False).double()
    for others in ((rt.L1(0.1),), (rt.GroupLasso(0.1),), (rt.L2(0.1), rt.L1(0.1))):
        optimizer = optim.SGD(model.parameters(), 0.5)
        total = sum(rule.on(model) for rule in (KnowsItsShape(), *others))
        names = " and ".join(rule.name for rule in (KnowsItsShape(), *others))
        with pytest.raises(ValueError, match=f"sum of {names} on 'weight' is unknown"):
            total.attach(optimizer, proximal=True)
        assert not optimizer._optimizer_step_pre_hooks
        KnowsItsShape().on(model).attach(optimizer, proximal=True)
        with pytest.raises(ValueError, match="is unknown"):
            others[-1].on(model).attach(optimizer, proximal=True)
    rt.L1(0.1, select="all").on(model).attach(optim.SGD(model.parameters(), 0.5), proximal=True)


def test_frozen_weights_stay():
    model, x, y = dense()
    optimizer = optim.SGD(model.parameters(), 0.1)
    rt.L1(1.0).on(model).attach(optimizer, proximal=True)
    model.requires_grad_(False)
    before = [p.clone() for p in model.parameters()]
    optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_a_weight_without_a_gradient_or_a_rule_of_strength_zero_does_not_hold_up_the_others():
    model, *_ = dense()
    optimizer = optim.SGD(model.parameters(), 1.0)
    before = [p.detach().clone() for p in model.parameters()]
    total = rt.L1(0.0).on(model) + rt.L1(0.1).on(model) + rt.GroupLasso(0.0).on(model)
    total.attach(optimizer, proximal=True)
    model[2].weight.grad = torch.zeros_like(model[2].weight)
    optimizer.step()
    for name, p, w in zip(dict(model.named_parameters()), model.parameters(), before, strict=True):
        close(p.detach(), rt.L1(0.1).prox(w, 1.0) if name == "2.weight" else w, rtol=0, atol=0)


class FirstLayerOnly(rt.GroupLasso):
    """Leaves other layers alone by its strength there."""

    def for_weight(self, name: str, w: Tensor) -> rt.Penalty:
        return self if name.startswith("0.") else self.scaled(0.0)


def test_rules_whose_strength_on_a_weight_is_zero_add_up_with_others():
    model, *_ = dense()
    before = [model[i].weight.detach().clone() for i in (0, 2)]
    optimizer = optim.SGD(model.parameters(), 1.0)
    (FirstLayerOnly(0.1).on(model) + FirstLayerOnly(0.2).on(model)).attach(optimizer, proximal=True)
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    close(model[0].weight.detach(), rt.GroupLasso(0.3).prox(before[0], 1.0))
    close(model[2].weight.detach(), before[1], rtol=0, atol=0)


def test_penalties_of_several_strengths_do_not_add_up_by_one():
    model, *_ = dense()
    total = rt.SparseGroupLasso(0.1, 0.2).on(model) + rt.SparseGroupLasso(0.3, 0.1, select="all").on(model)
    with pytest.raises(ValueError, match="sum of SparseGroupLasso and SparseGroupLasso on '0.weight' is unknown"):
        total.attach(optim.SGD(model.parameters(), 1.0), proximal=True)


def test_a_rule_that_needs_one_step_size_is_refused_where_there_is_one_for_each_coordinate():
    model, *_ = dense()
    reg = rt.NuclearNorm(0.1).on(model)
    with pytest.raises(TypeError, match="one step size for the entire weight, but Adam has one per element"):
        reg.attach(optim.Adam(model.parameters()), proximal=True)
    reg.attach(optim.SGD(model.parameters(), 1.0), proximal=True)
