"""Weights that get gradients, and that no step moves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from regtorch.doctor.along.course import Sign
from regtorch.doctor.along.numbers import sampled

__all__ = ["Owners"]


class Owners:
    """`weights_not_owned`."""

    def __init__(self) -> None:
        self._last: dict[str, Tensor] = {}

    def signs(self, unowned: Mapping[str, nn.Parameter]) -> Iterator[Sign]:
        """Of the weights that the watched optimizers do not own; others may step them."""
        with_gradient = {name: p for name, p in unowned.items() if p.grad is not None and p.numel()}
        now = {name: sampled(p).clone() for name, p in with_gradient.items()}
        last, self._last = self._last, now
        for name, values in now.items():
            if name in last and torch.equal(values, last[name]):
                yield Sign(
                    "weights_not_owned",
                    name,
                    "warning",
                    {"weights": len(now)},
                    why=f"{name} gets gradients, and no optimizer moves it: it keeps its value.",
                    change="Build the optimizer from model.parameters() after the last change of the model "
                    "(optimizer.add_param_group for layers unfrozen later), or freeze it.",
                    patience=5,
                )
