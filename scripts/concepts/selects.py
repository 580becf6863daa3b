"""What `select` chooses in a small net."""

from __future__ import annotations

import torch
from torch import nn

from concepts.sheet import LINES, drawing, words
from regtorch import select

__all__ = ["drawn"]

_SELECTS = ["kernel", "bias", "norm", "embedding", "kernel|embedding", "kernel -name:head.*", "type:Conv*", "largest:1"]
_ROW, _COLUMN, _LEFT, _TOP = 26, 62, 232, 104


class _Net(nn.Module):
    """A net with a weight of every role."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(500, 16)
        self.conv = nn.Conv1d(16, 32, 3)
        self.norm = nn.LayerNorm(32)
        self.head = nn.Linear(32, 10)
        self.temperature = nn.Parameter(torch.ones(()))


def drawn() -> str:
    net = _Net()
    names = [name for name, _ in net.named_parameters()]
    parts = []
    for column, text in enumerate(_SELECTS):
        x = _LEFT + _COLUMN * (column + 0.5)
        parts.append(
            f'<g transform="translate({x - 4:g} {_TOP - 12}) rotate(-35)">'
            + words(0, 0, text, family="ui-monospace,monospace", size=11.5)
            + "</g>"
        )
        chosen = {name for weight in select.choose(net, text).chosen for name in weight.names}
        for row, name in enumerate(names):
            parts.append(_cell(x, _TOP + _ROW * (row + 0.5), name in chosen))
    for row, (name, weight) in enumerate(net.named_parameters()):
        y = _TOP + _ROW * (row + 0.5) + 4
        shape = "×".join(map(str, weight.shape)) or "one number"
        parts += [
            words(8, y, name, family="ui-monospace,monospace"),
            words(146, y, shape, size=11, colour="var(--faint)"),
        ]
    return drawing(_LEFT + _COLUMN * len(_SELECTS) + 60, _TOP + _ROW * len(names) + 12, parts)


def _cell(x: float, y: float, chosen: bool) -> str:
    if chosen:
        return f'<rect x="{x - 9:g}" y="{y - 9:g}" width="18" height="18" rx="4" fill="{LINES[0]}"/>'
    return f'<circle cx="{x:g}" cy="{y:g}" r="2.2" fill="var(--grid)"/>'
