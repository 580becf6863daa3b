"""Rules of a trainer's callback while the trainer changes its optimizers."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim import SGD, Optimizer

import regtorch as rt
from regtorch.steps.hooks import attached_to
from regtorch.trainers.attaching import Attaching


def step(net: nn.Module, optimizer: Optimizer, attaching: Attaching) -> None:
    attaching.attach_to_new_groups([optimizer])
    net(torch.ones(2, 3)).sum().backward()
    optimizer.step()


def test_an_optimizer_that_is_made_anew_gets_the_rules():
    net = nn.Linear(3, 2)
    attaching = Attaching("Here", [rt.L2(0.1), rt.MaxNorm(1.0)], schedule=rt.schedules.warmup(8), in_loss="")
    optimizer = SGD(net.parameters(), lr=0.1)
    attaching.begin(net, [optimizer], "")
    before = optimizer
    for made in range(3):
        for _ in range(2):
            step(net, optimizer, attaching)
        assert len(attached_to(optimizer)) == 2
        assert attaching.bound[0].scale == pytest.approx((2 * made + 1) / 8)  # it goes on
        before, optimizer = optimizer, SGD(net.parameters(), lr=0.1)
    step(net, optimizer, attaching)
    assert attached_to(before) == []
    attaching.end()
    assert attached_to(optimizer) == []
