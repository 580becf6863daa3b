"""An epoch of a path in progress: the steps made, and the sums for its metrics."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from regtorch.lightning.means import SampledMean

__all__ = ["Progress", "Sums"]


class Sums:
    """Sums of losses and scores over an epoch's batches, by member."""

    def __init__(self) -> None:
        self.losses: Any = 0.0
        self.scores: Any = 0.0
        self.samples = 0

    def add(self, losses: Tensor, scores: Tensor, samples: int) -> None:
        self.losses = self.losses + losses * samples
        self.scores = self.scores + scores
        self.samples += samples


@dataclass
class Progress:
    """The training steps of an epoch so far."""

    epoch: int  # from 1
    penalty: SampledMean
    sums: Sums = field(default_factory=Sums)
    step: int = 0  # steps made

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "step": self.step, "penalty": self.penalty.state_dict(), "sums": vars(self.sums)}

    @classmethod
    def of(cls, state: dict[str, Any], device: torch.device) -> Progress:
        """The progress of a `state_dict`, on a device."""

        def there(values: dict[str, Any]) -> dict[str, Any]:
            return {name: v.to(device) if isinstance(v, Tensor) else v for name, v in values.items()}

        progress = cls(state["epoch"], SampledMean(0.0), step=state["step"])
        progress.penalty.load_state_dict(there(state["penalty"]))
        vars(progress.sums).update(there(state["sums"]))
        return progress
