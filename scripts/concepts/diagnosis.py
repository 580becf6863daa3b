"""A net that its penalty breaks, and the same with the strength that the doctor advises."""

from __future__ import annotations

import torch
from torch import nn

import regtorch as rt
from concepts.digits import accuracy, fit, mlp, split
from concepts.sheet import panels
from regtorch.plot.panel import Axis, Guide, LineStyle, Panel, Series, look

__all__ = ["drawn"]

_STEPS, _EVERY = 200, 5
_BROKEN = rt.L1(0.05)


def drawn() -> str:
    train, _ = split(1000, 0.0, 0)
    torch.manual_seed(0)
    net = mlp()
    batches = [(train[0][at : at + 100], train[1][at : at + 100]) for at in range(0, 1000, 100)]
    (first, *_) = rt.diagnose(
        net, nn.functional.cross_entropy, batches, torch.optim.Adam(net.parameters(), 0.003), [_BROKEN]
    )
    assert first.remedy is not None, first
    (cured,) = first.remedy.rules
    assert isinstance(cured, rt.Penalty), cured
    axis = Axis("step")
    styles: list[LineStyle] = ["-", "--", ":"]
    lines = [
        Series(*_trained(rule), label, look(number), styles[number])
        for number, (rule, label) in enumerate(
            [
                (cured, f"{cured!r}, as the doctor advises"),
                (_BROKEN, f"{_BROKEN!r}: the doctor says {first.cause}, {first.severity}"),
                (None, "no penalty"),
            ]
        )
    ]
    return panels(
        "diagnosis", [Panel("Accuracy on held-out digits", "", axis, Axis("accuracy", low=0), lines, [Guide(0.1)])]
    )


def _trained(rule: rt.Penalty | None) -> tuple[list[int], list[float]]:
    train, test = split(1000, 0.0, 0)
    torch.manual_seed(0)
    net = mlp()
    optimizer = torch.optim.Adam(net.parameters(), 0.003)
    if rule is not None:
        rule.on(net).attach(optimizer)
    scores: dict[int, float] = {}

    def look_at(step: int) -> None:
        if step % _EVERY == 0:
            scores[step] = accuracy(net, test)

    fit(net, train, optimizer, _STEPS, look_at)
    return list(scores), list(scores.values())
