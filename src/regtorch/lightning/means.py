"""Means over an epoch's steps, and over an evaluation's."""

from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import Strategy
from torch import Tensor
from torch.distributed import all_gather_object

__all__ = ["EpochMeans", "SampledMean", "WeightedMean", "losses_of", "of_all_processes", "take_in"]


class WeightedMean:
    """The weighted mean of scalar tensors, kept on their device so that no step waits for it."""

    def __init__(self) -> None:
        self._total: Tensor | None = None
        self._weight = 0

    def add(self, value: Tensor, weight: int) -> None:
        """Add a value by a single operation, as a step of a small net takes no longer than a few."""
        if self._total is None:
            self._total = torch.zeros((), dtype=torch.promote_types(value.dtype, torch.float32), device=value.device)
        self._total.add_(value.detach(), alpha=weight)
        self._weight += weight

    def add_zero(self, weight: int) -> None:
        self._weight += weight

    def value(self, strategy: Strategy | None = None) -> Tensor | None:
        """The mean, or None without values.

        Args:
            strategy: the trainer's, for the mean over all processes; None for this process's.
        """
        if self._total is None:
            return None
        total, weight = self._total, torch.full_like(self._total, self._weight, dtype=torch.float64)
        if strategy is not None:
            total, weight = (strategy.reduce(part, reduce_op="sum") for part in (total, weight))
        return (total / weight).to(self._total.dtype)

    def state_dict(self) -> dict[str, Any]:
        return {"total": self._total, "weight": self._weight}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._total, self._weight = state["total"], state["weight"]


class SampledMean:
    """The mean over steps of a quantity that is measured before some of them and linear in between.

    Exact if it is measured at every step.

    Args:
        first: the quantity before the first step.
    """

    def __init__(self, first: Any) -> None:
        self._last = first
        self._at = 0
        self._total = first * 0.0

    def add(self, value: Any, at: int) -> None:
        """Add the value after `at` steps."""
        gap = at - self._at
        self._total = self._total + gap * self._last + (value - self._last) * ((gap - 1) / 2)
        self._last, self._at = value, at

    def value(self) -> Any:
        """The mean over the steps so far."""
        return self._total / self._at if self._at else self._last

    def state_dict(self) -> dict[str, Any]:
        return {"last": self._last, "at": self._at, "total": self._total}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._last, self._at, self._total = state["last"], state["at"], state["total"]


class EpochMeans:
    """The means of an epoch's training steps so far.

    Args:
        penalty: the penalty before the first step.
    """

    def __init__(self, penalty: Tensor) -> None:
        self.task_loss = WeightedMean()
        self.in_loss = WeightedMean()  # penalties that the steps' losses include
        self.penalty = SampledMean(penalty)
        self.steps = 0

    def state_dict(self) -> dict[str, Any]:
        means = {name: getattr(self, name).state_dict() for name in ("task_loss", "in_loss", "penalty")}
        return {**means, "steps": self.steps}

    @classmethod
    def of(cls, state: dict[str, Any], device: torch.device) -> "EpochMeans":
        """The means of a `state_dict`, on a device."""
        means = cls(torch.zeros(()))
        for name in ("task_loss", "in_loss", "penalty"):
            values = {key: v.to(device) if isinstance(v, Tensor) else v for key, v in state[name].items()}
            getattr(means, name).load_state_dict(values)
        means.steps = state["steps"]
        return means


def of_all_processes(trainer: Trainer, state: Any) -> list[Any]:
    """A state of each process, by rank; every process must call this."""
    if trainer.world_size == 1:
        return [state]
    states: list[Any] = [None] * trainer.world_size
    all_gather_object(states, state)
    return states


def losses_of(outputs: Any) -> tuple[Tensor | None, Tensor | None]:
    """A step's loss, and the part of it that is penalties; None for either that is missing."""
    if isinstance(outputs, Tensor):
        return outputs.detach().reshape(()), None
    if not isinstance(outputs, Mapping) or not isinstance(outputs.get("loss"), Tensor):
        return None, None
    loss, in_loss = outputs["loss"].detach().reshape(()), outputs.get("penalty")
    return loss, None if in_loss is None else torch.as_tensor(in_loss).detach().reshape(())


def take_in(
    loss: Tensor, in_loss: Tensor | None, samples: int, of_task: WeightedMean, of_penalties: WeightedMean
) -> Tensor:
    """Add a step's loss, and the penalties in it, to their means; the loss without penalties."""
    if in_loss is None:
        of_penalties.add_zero(samples)
    else:
        loss = loss - in_loss
        of_penalties.add(in_loss, samples)
    of_task.add(loss, samples)
    return loss
