"""A loss that is a sum over the batch is told, with what a strength is worth beside it; a mean stays quiet."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn, optim
from torch.nn import functional as F

import regtorch as rt

SIZE = 32


def diagnosed(loss: Any, *rules: Any, size: int = SIZE, numbers: bool = False, lr: float = 1e-3) -> list[rt.Finding]:
    torch.manual_seed(0)
    x = torch.randn(6, size, 8)
    batches: list[tuple[Tensor, Tensor]] = [(b, b[:, :3] if numbers else b[:, :3].argmax(1)) for b in x]
    net = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3))
    return rt.diagnose(net, loss, batches, optim.Adam(net.parameters(), lr=lr), rules)


def summed(found: list[rt.Finding]) -> list[rt.Finding]:
    return [finding for finding in found if finding.cause == "summed_loss"]


@pytest.mark.parametrize("size", [2, 7, SIZE])
@pytest.mark.parametrize(
    ("loss", "numbers"),
    [
        (partial(F.cross_entropy, reduction="sum"), False),
        (lambda output, target: 0.5 * (output - target).square().sum(), True),
        (partial(F.mse_loss, reduction="sum"), True),
        (lambda output, target: F.cross_entropy(output, target) * len(target), False),
    ],
)
def test_a_sum_and_its_healthy_twin(loss: Callable[..., Tensor], numbers: bool, size: int):
    (finding,) = summed(diagnosed(loss, size=size, numbers=numbers))
    assert (finding.where, finding.severity) == ("loss", "info")
    assert finding.numbers["of_twice_the_batch"] == pytest.approx(2, rel=1e-4)
    assert finding.numbers["samples"] == size
    assert f"repeating a batch of {size} makes it 2 times as large" in finding.why
    assert not summed(diagnosed(lambda output, target: loss(output, target) / len(target), size=size, numbers=numbers))


def test_what_a_strength_is_worth():
    (finding,) = summed(diagnosed(partial(F.cross_entropy, reduction="sum"), rt.L2(0.032)))
    assert "L2(lam=0.032) acts like L2(lam=0.001) with a mean" in finding.why
    assert "here L2(lam=1.024)" in finding.change
    reg = rt.L1(0.064, select="bias")
    (finding,) = summed(diagnosed(partial(F.cross_entropy, reduction="sum"), reg))
    assert "L1(lam=0.064, select='bias') acts like L1(lam=0.002, select='bias')" in finding.why


def test_it_is_a_warning_where_the_sum_alone_makes_the_penalty_weak():
    strength = 3e-3
    mean = diagnosed(F.cross_entropy, rt.L2(strength))
    assert not summed(mean)
    (weak,) = summed(diagnosed(partial(F.cross_entropy, reduction="sum"), rt.L2(strength)))
    assert weak.severity == "warning"
    assert weak.numbers["pull"] < 0.01 <= weak.numbers["pull"] * SIZE
    for other in (1e-6, 1.0):  # next to nothing beside the mean as well, and strong beside the sum too
        (finding,) = summed(diagnosed(partial(F.cross_entropy, reduction="sum"), rt.L2(other)))
        assert finding.severity == "info"


@pytest.mark.parametrize(
    "loss",
    [
        lambda output, target: F.cross_entropy(output, target) + output.mean() ** 2,
        lambda output, target: F.cross_entropy(output, target) + 0.1 * torch.pdist(output).sum(),  # grows faster
        lambda output, target: F.cross_entropy(output, target, reduction="sum").sqrt(),
        lambda output, target: -torch.logsumexp(F.log_softmax(output, 1).flatten(), 0),
    ],
)
def test_other_losses_are_none(loss: Callable[..., Tensor]):
    assert not summed(diagnosed(loss))
