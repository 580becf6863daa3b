"""A net that was trained is told no faults of its start, nor that its rate is too small where it fits its targets."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import regtorch as rt

Batches = Sequence[tuple[Tensor, Tensor]]


def a_net(std: float | None = None, act: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 32), act(), nn.Linear(32, 32), act(), nn.Linear(32, 3))
    for part in net if std is not None else ():
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=std)
    return net


@pytest.fixture(scope="module")
def batches() -> Batches:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(192, 8, generator=draw)
    return list(zip(x.split(32), (x[:, :3]).argmax(1).split(32), strict=True))


def trained(net: nn.Module, batches: Batches, epochs: int, *rules: rt.Penalty, lr: float = 0.01) -> torch.optim.Adam:
    optimizer = torch.optim.Adam(net.parameters(), lr)
    handles = [rule.on(net).attach(optimizer) for rule in rules]
    for _ in range(epochs):
        for x, y in batches:
            optimizer.zero_grad()
            F.cross_entropy(net(x), y).backward()
            optimizer.step()
    for handle in handles:
        handle.remove()
    return optimizer


def causes(
    net: nn.Module, batches: Batches, optimizer: torch.optim.Optimizer | None, *rules: rt.Penalty
) -> dict[str, str]:
    return {f.cause: f.severity for f in rt.diagnose(net, F.cross_entropy, batches, optimizer, rules)}


def test_large_weights_of_a_net_that_has_learnt_are_no_fault_of_the_start(batches: Batches):
    net = a_net(std=3.0)
    assert "start_too_large" in causes(net, batches, None)
    optimizer = trained(net, batches, 150)
    found = causes(net, batches, optimizer)
    assert "start_too_large" not in found
    assert "rate_too_small" not in found  # it fits its targets, so that gradients are small
    assert "start_too_large" not in causes(net, batches, None)  # seen without the optimizer's state, too


def test_a_rate_that_moves_nothing_is_told_before_the_net_has_learnt(batches: Batches):
    net = a_net()
    assert causes(net, batches, torch.optim.Adam(net.parameters(), 1e-9))["rate_too_small"] == "severe"


def test_weights_that_a_penalty_has_emptied_were_not_small_at_the_start(batches: Batches):
    net = a_net()
    optimizer = trained(net, batches, 20, rt.L2(0.3))
    found = causes(net, batches, optimizer, rt.L2(0.3))
    assert found["collapse"] == "severe"
    assert "start_too_small" not in found


def test_weights_that_start_small_are_told_also_after_steps_that_do_not_shrink_them(batches: Batches):
    net = a_net(std=1e-4)
    assert "start_too_small" in causes(net, batches, None, rt.L2(1e-6))
    optimizer = torch.optim.Adam(net.parameters(), 1e-8)
    trained(net, batches, 1, lr=1e-8)
    optimizer.step()  # gradients of the last batch
    assert optimizer.state
    assert "start_too_small" in causes(net, batches, optimizer)
