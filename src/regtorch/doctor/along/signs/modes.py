"""Layers that were in training mode and no longer are."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from regtorch.doctor.along.course import Sign
from regtorch.doctor.observe.calls import DROPOUTS
from regtorch.select.weight import modules_of

__all__ = ["Modes"]


class Modes:
    """`eval_left_on`."""

    def __init__(self, model: nn.Module) -> None:
        self._layers = {n: m for n, m in modules_of(model).items() if isinstance(m, (*DROPOUTS, _BatchNorm))}
        self._trained: set[str] = set()

    def signs(self) -> Iterator[Sign]:
        self._trained |= {name for name, module in self._layers.items() if module.training}
        for name in self._trained:
            if not self._layers[name].training:
                yield Sign(
                    "eval_left_on",
                    name,
                    "warning",
                    {"layers": len(self._trained)},
                    why="Layers that were in training mode before are in evaluation mode while the optimizer steps: "
                    "batch norms keep the statistics they have, and dropout drops nothing.",
                    change="Call model.train() after every evaluation.",
                    patience=3,
                )
