"""A pass asks again what a user's own rule depends on, which may change between steps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn, optim

import regtorch as rt


class Rising(rt.Penalty):
    """A penalty whose strength is in a dict that its user changes."""

    separable = True

    def __init__(self, now: dict[str, float]) -> None:
        self._set(now=now)

    def __call__(self, w: Tensor) -> Tensor:
        return self.now["lam"] * w.square().sum()


def train(fused: bool, whole: bool) -> tuple[list[Tensor], str]:
    torch.manual_seed(0)
    net = nn.Linear(3, 2, bias=False).double()
    optimizer = optim.SGD(net.parameters(), 0.1)
    now = {"lam": 0.1}
    Rising(now).on(net).attach(optimizer)
    handle: Any = rt.fuse(optimizer) if fused else None
    step: Any = rt.compile_step(net, nn.functional.mse_loss, optimizer) if whole else None
    x, y = torch.ones(4, 3, dtype=torch.float64), torch.zeros(4, 2, dtype=torch.float64)
    for at in range(6):
        now["lam"] = 0.1 if at < 3 else 0.5
        if whole:
            step(x, y)
            continue
        optimizer.zero_grad()
        nn.functional.mse_loss(net(x), y).backward()
        optimizer.step()
    return [p.detach() for p in net.parameters()], getattr(handle or step, "why_not", "")


@pytest.mark.parametrize("whole", [False, True])
def test_what_a_rule_reads_changes(whole: bool, quickly: None):
    found, why_not = train(not whole, whole)
    assert why_not == ""
    torch.testing.assert_close(found, train(False, False)[0], rtol=0, atol=1e-12)
