"""A compiled step calls the optimizer's own step only where somebody may see that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn, optim
from torch.nn import functional as F
from torch.optim.lr_scheduler import StepLR
from torch.optim.optimizer import register_optimizer_step_post_hook

import regtorch as rt


class Seen:
    """What somebody does to an optimizer, and how often its steps are noticed."""

    def __init__(self) -> None:
        self.steps = 0
        self.remove: Callable[[], None] = lambda: None

    def count(self, *_: Any) -> None:
        self.steps += 1

    def post_hook(self, optimizer: Any) -> None:
        optimizer.register_step_post_hook(self.count)

    def global_post_hook(self, optimizer: Any) -> None:
        self.remove = register_optimizer_step_post_hook(self.count).remove

    def wrapped_step(self, optimizer: Any) -> None:
        own = optimizer.step

        def step(closure: Any = None) -> Any:
            self.count()
            return own(closure)

        optimizer.step = step


def stepping() -> tuple[Any, Any, Any]:
    torch.manual_seed(0)
    net = nn.Linear(6, 3)
    optimizer = optim.Adam(net.parameters(), 0.01)
    rt.L1(0.1).on(net).attach(optimizer, schedule=rt.schedules.warmup(5))
    rt.MaxNorm(0.3).on(net).attach(optimizer)
    return net, optimizer, rt.compile_step(net, F.cross_entropy, optimizer)


def train(step: Any, count: int = 8) -> None:
    g = torch.Generator().manual_seed(1)
    for _ in range(count):
        x = torch.randn(8, 6, generator=g)
        step(x, x[:, :3].argmax(1))
    assert step.why_not == ""


@pytest.mark.parametrize("look", [Seen.post_hook, Seen.global_post_hook, Seen.wrapped_step])
def test_who_looks_at_steps_sees_each(uncompiled: list[Any], look: Callable[[Seen, Any], None]):
    plain, _, step = stepping()
    train(step)
    net, optimizer, step = stepping()
    seen = Seen()
    look(seen, optimizer)
    try:
        train(step)
    finally:
        seen.remove()
    assert seen.steps == 8
    assert torch.equal(net.weight, plain.weight)


def test_a_step_that_nobody_sees_is_made_without(uncompiled: list[Any], monkeypatch: pytest.MonkeyPatch):
    net, _, step = stepping()
    train(step, 2)
    monkeypatch.setattr(optim.Adam, "step", lambda *_: pytest.fail("the optimizer's own step"))
    before = net.weight.clone()
    train(step, 3)
    assert not torch.equal(net.weight, before)


def test_schedules_of_rates_know_of_the_steps(uncompiled: list[Any]):
    _, optimizer, step = stepping()
    rates = StepLR(optimizer, 1, 0.5)
    for _ in range(3):
        train(step, 1)
        rates.step()  # warns if no step came before
    assert optimizer.param_groups[0]["lr"] == 0.01 / 8


def test_weights_outside_the_net_are_stepped(uncompiled: list[Any]):
    """Penalties give them a gradient at the optimizer's step."""
    net, other = nn.Linear(6, 3), nn.Linear(4, 4)
    optimizer = optim.SGD([*net.parameters(), *other.parameters()], 0.1)
    rt.L2(0.5).on(other).attach(optimizer)
    step = rt.compile_step(net, F.cross_entropy, optimizer)
    before = other.weight.detach().clone()
    train(step, 3)
    torch.testing.assert_close(other.weight, before * 0.9**3)
