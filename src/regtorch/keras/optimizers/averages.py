"""Running means of the weights, as Keras's `use_ema` keeps them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from regtorch.keras.optimizers.settings import Settings

__all__ = ["Averages"]


class Averages(Optimizer):
    """The part of an optimizer that keeps running means of its weights in their state."""

    settings: Settings

    def _weights(self) -> Iterator[tuple[Tensor, dict[str, Any]]]:
        return ((p, group) for group in self.param_groups for p in group["params"])

    def _averaged(self) -> Iterator[tuple[dict[str, Any], Tensor]]:
        return ((self.state[p], p) for p, _ in self._weights() if p.requires_grad)

    def _average(self, update: int) -> None:
        """Take the weights into their means, after `update` earlier updates."""
        settings = self.settings
        for state, p in self._averaged():
            if "average" not in state or (update == 0 and not settings.ema_from_start):
                state["average"] = p.clone()
            else:
                state["average"].mul_(settings.ema_momentum).add_(p, alpha=1 - settings.ema_momentum)
        if settings.ema_overwrite_frequency and (update + 1) % settings.ema_overwrite_frequency == 0:
            self.finalize()

    @torch.no_grad()
    def finalize(self) -> None:
        """Replace the weights by their running means: Keras's `finalize_variable_values`; nothing without `use_ema`."""
        for state, p in self._averaged():
            if "average" in state:
                p.copy_(state["average"])

    @torch.no_grad()
    def swap_averages(self) -> None:
        """Exchange the weights and their running means, as for an evaluation; a second call exchanges them back."""
        for state, p in self._averaged():
            if "average" in state:
                weights = p.clone()
                p.copy_(state["average"])
                state["average"] = weights
