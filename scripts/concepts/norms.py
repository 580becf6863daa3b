"""A penalty on weights before a batch norm changes their size, not the outputs, and with it the size of the steps."""

from __future__ import annotations

import torch
from torch import nn

import regtorch as rt
from concepts.digits import fit, split
from concepts.sheet import panels
from regtorch.plot.panel import Axis, Panel, Series, look

__all__ = ["drawn"]

_STEPS, _MEAN = 600, 20
_STRENGTHS = (0.0, 0.003, 0.01)


def drawn() -> str:
    norms, turns = [], []
    for number, lam in enumerate(_STRENGTHS):
        label = f"rt.L2({lam:g})" if lam else "no penalty"
        norm, turn = _trained(lam)
        line = ("-", "--", ":")[number]
        norms.append(Series(range(_STEPS), norm, label, look(number), line))
        smooth = [sum(turn[at : at + _MEAN]) / _MEAN for at in range(0, _STEPS, _MEAN)]
        turns.append(Series(range(0, _STEPS, _MEAN), smooth, label, look(number), line))
    return panels(
        "norms",
        [
            Panel("Norm of the weight", "", Axis("step"), Axis("‖w‖", low=0), norms),
            Panel("How far a step turns it", "", Axis("step"), Axis("degrees a step", log=True), turns),
        ],
    )


def _trained(lam: float) -> tuple[list[float], list[float]]:
    train, _ = split(1000, 0.0, 0)
    torch.manual_seed(0)
    first = nn.Linear(64, 64, bias=False)
    net = nn.Sequential(first, nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    rt.L2(lam, select="kernel name:0.*").on(net).attach(optimizer)
    weights = [first.weight.detach().clone()]
    fit(net, train, optimizer, _STEPS, lambda step: weights.append(first.weight.detach().clone()))
    pairs = list(zip(weights[1:], [*weights[2:], first.weight.detach()], strict=True))
    turns = [
        torch.rad2deg(torch.acos((torch.cosine_similarity(a.flatten(), b.flatten(), 0)).clamp(max=1))).item()
        for a, b in pairs
    ]
    return [w.norm().item() for w in weights[1:]], turns
