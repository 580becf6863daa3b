"""Compiled steps of a wrapper around an optimizer: its own steps are made, and it finds what it reads."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from test_compile_step import assert_alike, batches
from torch import nn, optim
from torch.nn import functional as F

import regtorch as rt


class Wrapper:
    """Steps at every second call, or at all but moves the weights back by half."""

    def __init__(self, optimizer: Any, every: int) -> None:
        self.optimizer, self.every, self.calls = optimizer, every, 0
        self.zero_grad = optimizer.zero_grad

    def step(self) -> None:
        self.calls += 1
        if self.calls % self.every == 0:
            self.optimizer.step()
            with torch.no_grad():
                for p in self.optimizer.param_groups[0]["params"]:
                    p.mul_(0.9)


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.filterwarnings("ignore:compile_step")
def test_a_wrapper_makes_its_own_steps(uncompiled: list[Any], every: int):
    nets = [nn.Linear(6, 3).double()]
    nets.append(copy.deepcopy(nets[0]))
    wrappers = [Wrapper(optim.SGD(net.parameters(), 0.1), every) for net in nets]
    step = rt.compile_step(nets[0], F.cross_entropy, wrappers[0])
    for x, y in batches(6):
        step(x, y)
        wrappers[1].zero_grad()
        F.cross_entropy(nets[1](x), y).backward()
        wrappers[1].step()
    assert wrappers[0].calls == 6
    assert bool(step.why_not) == (every == 2)
    assert_alike(nets, [wrapper.optimizer for wrapper in wrappers])


class Slow(Wrapper):
    """Moves only weights with a gradient, as Look-ahead of timm and of pytorch_optimizer."""

    def _moved(self) -> list[nn.Parameter]:
        return [p for p in self.optimizer.param_groups[0]["params"] if p.grad is not None]

    def step(self) -> None:
        self.optimizer.step()
        with torch.no_grad():
            for p in self._moved():
                p.mul_(0.9)


@pytest.mark.filterwarnings("ignore:compile_step")
def test_a_wrapper_that_reads_gradients_finds_them(uncompiled: list[Any]):
    net = nn.Linear(6, 3)
    wrapper = Slow(optim.SGD(net.parameters(), 0.1), 1)
    step = rt.compile_step(net, F.cross_entropy, wrapper)
    for x, y in batches(3):
        step(x.float(), y)
        assert len(wrapper._moved()) == 2
    assert "a Slow may read gradients" in step.why_not
