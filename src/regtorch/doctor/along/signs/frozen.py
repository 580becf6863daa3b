"""Weights that were trained and no longer require gradients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import nn

from regtorch.doctor.along.course import Sign

__all__ = ["Frozen"]


class Frozen:
    """`frozen_weights`, a note: it is the user who freezes them."""

    def __init__(self) -> None:
        self._trained: dict[str, nn.Parameter] = {}

    def signs(self, weights: Mapping[str, nn.Parameter]) -> Iterator[Sign]:
        """Of the weights that the optimizer has moved; `weights` are those that require gradients now, by name."""
        frozen = sorted(name for name, p in self._trained.items() if not p.requires_grad)
        self._trained |= weights
        for name in frozen:
            yield Sign(
                "frozen_weights",
                name,
                "info",
                {"weights": len(frozen)},
                why=f"{name} was trained before and no longer requires a gradient: no step and no penalty moves it.",
                change="Nothing if it was frozen on purpose; otherwise call requires_grad_(True).",
                patience=1,
            )
