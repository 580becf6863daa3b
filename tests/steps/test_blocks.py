"""Large weights are treated in blocks where rules act on each element: the same to the bit, with less memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn, optim

import regtorch as rt
from cases import PENALTIES
from regtorch.numerics import blocks
from regtorch.numerics.blocks import in_blocks

ELEMENTWISE = {name: case.rule for name, case in PENALTIES.items() if case.rule.grain == "element"}
OPTIMIZERS: dict[str, Callable[[Any], optim.Optimizer]] = {
    "SGD": lambda p: optim.SGD(p, 0.1, momentum=0.9, dampening=0.2),
    "Adam": lambda p: optim.Adam(p, 0.01, amsgrad=True),
    "RMSprop": lambda p: optim.RMSprop(p, 0.01, centered=True, momentum=0.5),
    "Adagrad": lambda p: optim.Adagrad(p, 0.1, lr_decay=0.1),
}


def train(optimizer: str, rule: Any, **how: bool) -> list[torch.Tensor]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(9, 7), nn.Tanh(), nn.Linear(7, 3)).double()
    made = OPTIMIZERS[optimizer](net.parameters())
    rule.on(net).attach(made, **how)
    x = torch.randn(8, 9, dtype=torch.float64)
    for _ in range(4):
        made.zero_grad()
        net(x).square().mean().backward()
        made.step()
    return [p.detach() for p in net.parameters()]


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[int]]:
    """Makes blocks of 5 elements from now on; tells how many elements each weight so cut had."""
    found: list[int] = []
    real = blocks._block

    def block(t: torch.Tensor, at: int) -> torch.Tensor:
        found.append(t.numel())
        return real(t, at)

    def start() -> list[int]:
        monkeypatch.setattr(blocks, "BLOCK", 5)
        monkeypatch.setattr(blocks, "_block", block)
        return found

    return start


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_gradients(name: str, cut: Callable[[], list[int]]):
    whole = train("SGD", ELEMENTWISE[name])
    found = cut()
    assert all(map(torch.equal, whole, train("SGD", ELEMENTWISE[name])))
    own = type(ELEMENTWISE[name]).add_grads_ is rt.Penalty.add_grads_
    assert {63, 21} <= set(found) if own else not found


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", [name for name, rule in ELEMENTWISE.items() if rule.has_prox])
def test_proximal_steps(name: str, optimizer: str, cut: Callable[[], list[int]]):
    whole = train(optimizer, ELEMENTWISE[name], proximal=True)
    found = cut()
    assert all(map(torch.equal, whole, train(optimizer, ELEMENTWISE[name], proximal=True)))
    assert {63, 21} <= set(found)


def test_masked_rules(cut: Callable[[], list[int]]):
    masks = {"0.weight": torch.rand(7, 9, generator=torch.Generator().manual_seed(1)) > 0.5}
    rule: Any = rt.masked(rt.L2SP(0.1), masks)
    whole = train("Adam", rule), train("Adam", rule, proximal=True)
    found = cut()
    again = train("Adam", rule), train("Adam", rule, proximal=True)
    assert all(
        torch.equal(a, b) for one, other in zip(whole, again, strict=True) for a, b in zip(one, other, strict=True)
    )
    assert set(found) == {63}


def test_two_proximal_rules_are_one_step_of_their_sum(cut: Callable[[], list[int]]):
    def both() -> list[torch.Tensor]:
        net = nn.Sequential(nn.Linear(9, 7), nn.Tanh(), nn.Linear(7, 3))
        made = optim.SGD(net.parameters(), 0.1)
        for rule in (rt.L1(0.1), rt.L2(0.2)):
            rule.on(net).attach(made, proximal=True)
        net(torch.ones(2, 9)).sum().backward()
        made.step()
        return [p.detach() for p in net.parameters()]

    torch.manual_seed(0)
    whole = both()
    cut()
    torch.manual_seed(0)
    assert all(map(torch.equal, whole, both()))


def test_a_step_size_of_ones_own_sees_whole_states(cut: Callable[[], list[int]]):
    class Mine(optim.SGD): ...

    seen: list[int] = []

    def size(group: Any, state: Any) -> float:
        seen.append(state["momentum_buffer"].numel())
        return group["lr"]

    rt.register_optimizer(Mine, size, one_step_size=True)
    net = nn.Linear(9, 7)
    made = Mine(net.parameters(), 0.1, momentum=0.9)
    rt.L1(0.1).on(net).attach(made, proximal=True)
    cut()
    net(torch.ones(2, 9)).sum().backward()
    made.step()
    assert seen == [63]


def test_a_strength_for_each_row_as_in_paths(cut: Callable[[], list[int]]):
    w, strengths = torch.randn(3, 4, 5, dtype=torch.float64), torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    for rule in (rt.L2SP(0.5, start=torch.zeros_like(w)), rt.L2(0.5)):
        found = cut()
        into = torch.ones_like(w)
        rule.add_grad_(w, into, strengths[:, None, None])
        torch.testing.assert_close(into, 1 + w * strengths[:, None, None])
        assert not found


def test_what_is_not_cut():
    large = torch.randn(3, blocks.BLOCK)
    assert len(list(in_blocks(rt.L1(), large) or [])) == 3
    assert in_blocks(rt.L1(), large[0]) is None  # small enough
    assert in_blocks(rt.GroupLasso(), large) is None
    assert in_blocks(rt.L1(), large.t()) is None
    assert in_blocks(rt.L1(), large, large.t()) is None
    assert in_blocks(rt.L1(), large.to("meta")) is None


def test_a_masked_rule_with_a_transposed_start_is_not_cut(cut: Callable[[], list[int]]):
    net = nn.Linear(9, 7, bias=False)
    start = {"weight": torch.ones(9, 7).t()}
    reg = rt.masked(rt.L2SP(0.5, start), torch.ones(7, 9) > 0).on(net)
    net.weight.grad = torch.zeros(7, 9)
    cut()
    reg.add_grad_()
    torch.testing.assert_close(net.weight.grad, net.weight.detach() - 1)


class Weighted(rt.Penalty):
    """A user's sum over elements that reads a tensor of its own, and the dims of a weight."""

    separable = True

    def __init__(self, by: torch.Tensor) -> None:
        self._set(by=by)

    def __call__(self, w: torch.Tensor) -> torch.Tensor:
        return (self.by * w.square()).sum(1).sum()

    def prox(self, w: torch.Tensor, step: Any) -> torch.Tensor:
        return w / (1 + 2 * step * self.by)


@pytest.mark.parametrize("proximal", [False, True])
def test_a_rule_of_ones_own_sees_whole_weights(proximal: bool, cut: Callable[[], list[int]]):
    net = nn.Linear(9, 7, bias=False)
    rule = Weighted(torch.arange(63.0).view(7, 9))
    made = optim.SGD(net.parameters(), 0.1)
    rule.on(net).attach(made, proximal=proximal)
    before = net.weight.detach().clone()
    net.weight.grad = torch.zeros(7, 9)
    cut()
    made.step()
    after = before / (1 + 0.2 * rule.by) if proximal else before * (1 - 0.2 * rule.by)
    torch.testing.assert_close(net.weight.detach(), after)
