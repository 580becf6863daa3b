"""Coupled and decoupled decay under Adam: two weights whose gradients are pure noise, of two sizes."""

from __future__ import annotations

import torch

import regtorch as rt
from concepts.sheet import panels
from regtorch.plot.panel import Axis, Panel, Series, look

__all__ = ["drawn"]

_STEPS, _RATE, _DECAY = 600, 0.01, 0.1
_NOISES = (1.0, 0.01)


class _Net(torch.nn.Module):
    """A thousand numbers for each size of noise."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(len(_NOISES), 1000))


def drawn() -> str:
    coupled, decoupled = _Net(), _Net()
    adam = torch.optim.Adam(coupled.parameters(), lr=_RATE)
    rt.L2(rt.convert(_DECAY, "weight_decay", "keras"), select="all").on(coupled).attach(adam)
    adamw = torch.optim.AdamW(decoupled.parameters(), lr=_RATE, weight_decay=_DECAY)
    shown = []
    for title, net, optimizer in (
        ("L2 in the gradient (Adam)", coupled, adam),
        ("Decay apart from it (AdamW)", decoupled, adamw),
    ):
        series = [
            Series(
                range(_STEPS),
                line,
                f"weights whose gradient is noise of deviation {noise:g}",
                look(number),
                ("-", "--")[number],
            )
            for number, (noise, line) in enumerate(zip(_NOISES, _means(net, optimizer), strict=True))
        ]
        shown.append(Panel(title, "", Axis("step"), Axis("mean weight", low=-0.05), series))
    return panels("decay", shown)


def _means(net: _Net, optimizer: torch.optim.Optimizer) -> list[list[float]]:
    torch.manual_seed(0)
    sizes, lines = torch.tensor(_NOISES)[:, None], []
    for _ in range(_STEPS):
        lines.append(net.weight.detach().mean(1).tolist())
        net.weight.grad = sizes * torch.randn_like(net.weight)
        optimizer.step()
    return [list(line) for line in zip(*lines, strict=True)]
