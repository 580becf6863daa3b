"""Rules of one's own whose gradient is no fresh tensor, whose value is no number, or that claim too much."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn, optim

import regtorch as rt
from ways import close


class Half(rt.Penalty):
    """½ Σw², whose gradient is the weight itself."""

    def __call__(self, w: Tensor) -> Tensor:
        return w.square().sum() / 2

    def grad(self, w: Tensor) -> Tensor:
        return w


class Along(rt.Penalty):
    """Σ c·w, whose gradient is a tensor that it keeps."""

    c: Any = None

    def for_weight(self, name: str, w: Tensor) -> rt.Penalty:
        return Along(torch.arange(w.numel()).to(w).view(w.shape))

    def __call__(self, w: Tensor) -> Tensor:
        return (self.c * w).sum()

    def grad(self, w: Tensor) -> Tensor:
        return self.c


LINEAR = rt.Custom(lambda w: w.sum(), 0.1)  # autograd gives one number for all places


@pytest.mark.parametrize("rule", [Half(), Along(), LINEAR], ids=lambda rule: rule.name)
@pytest.mark.parametrize("parametrized", [False, True])
@pytest.mark.parametrize("has_grad", [False, True])
def test_a_gradient_that_is_kept_or_expanded(rule: rt.Penalty, parametrized: bool, has_grad: bool):
    torch.manual_seed(0)
    net = nn.Linear(3, 2, bias=False, dtype=torch.float64)
    if parametrized:
        nn.utils.parametrizations.weight_norm(net)
    reg = rule.on(net)
    reg.scale = 0.3
    leaves = [*net.parameters()]
    expected = [2 * g + float(has_grad) for g in torch.autograd.grad(reg(), leaves)]
    before = [p.detach().clone() for p in leaves]
    for p in leaves:
        p.grad = torch.ones_like(p) if has_grad else None
    for _ in range(2):
        reg.add_grad_()
    for p, old, g in zip(leaves, before, expected, strict=True):
        assert torch.equal(p, old)
        assert isinstance(p.grad, Tensor)
        close(p.grad, g)


@pytest.mark.parametrize("way", ["graph", "closed form"])
@pytest.mark.parametrize(
    ("value", "said"), [(lambda w: w.square(), r"a tensor of shape \(2, 3\)"), (lambda w: 0.5, r"0\.05")]
)
def test_what_is_no_number_is_said_in_every_way(way: str, value: Any, said: str):
    reg = rt.Custom(value, 0.1).on(nn.Linear(3, 2))
    with pytest.raises(TypeError, match=f"must return a 0-dim tensor, received {said}.*; sum it"):
        reg() if way == "graph" else reg.add_grad_()


class Turning(rt.Penalty):
    """λ Σ(w - 1)², whose proximal step turns signs."""

    lam: float = 0.5
    prox_keeps_signs = True

    def __call__(self, w: Tensor) -> Tensor:
        return self.lam * (w - 1).square().sum()

    def prox(self, w: Tensor, step: Any) -> Tensor:
        return (w + 2 * step * self.lam) / (1 + 2 * step * self.lam)


class Writing(rt.L1):
    """An L1 whose proximal step is made in place."""

    def prox(self, w: Tensor, step: Any) -> Tensor:
        return w.detach().copy_(super().prox(w, step))


class Blind(rt.Constraint):
    """w ≥ 0, never violated."""

    def __call__(self, w: Tensor) -> Tensor:
        return w.clamp(min=0)

    def violation(self, w: Tensor) -> Tensor:
        return w.new_zeros(())


def test_claims_that_are_not_kept_are_found():
    with pytest.raises(AssertionError, match="has prox_keeps_signs=True, but its prox is"):
        rt.testing.check_penalty(Turning())
    with pytest.raises(AssertionError, match="writes to the weight in its prox"):
        rt.testing.check_penalty(Writing(0.1))
    with pytest.raises(AssertionError, match="has violation 0 although it moves the weight"):
        rt.testing.check_constraint(Blind())


@pytest.mark.parametrize("fused", [False, True])
def test_at_an_optimizers_steps_a_kept_gradient_stays_what_it_is(fused: bool):
    net = nn.Linear(3, 2, bias=False, dtype=torch.float64)
    start, lr = net.weight.detach().clone(), 0.1
    optimizer = optim.SGD(net.parameters(), lr=lr, fused=fused)
    reg = Half().on(net)
    reg.scale = 0.5
    reg.attach(optimizer)
    for _ in range(3):
        net.weight.grad = torch.zeros_like(net.weight)
        optimizer.step()
    close(net.weight.detach(), start * (1 - lr * 0.5) ** 3)
