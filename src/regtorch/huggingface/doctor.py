"""Hugging Face: a callback for transformers' Trainer, which regtorch does not need to be installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from regtorch.doctor.along.attending import Attending

__all__ = ["Doctor"]


class Doctor(Attending):
    """Watches the training of transformers' Trainer as `rt.watch` does, and says when something turns bad.

    With several processes each watches its own share of the batches, and process 0 speaks. A `GradScaler` of
    accelerate is watched, too.

    Args:
        every: look at every n-th step; None looks as often as the budget allows.
        budget: the share of the training's time that looks may cost, which they measure themselves.
        on_finding: called with each finding instead of a `DoctorWarning`, in process 0.

    Attributes:
        findings: those of the last training, most important first; "step" in their numbers is the optimizer's.

    Raises:
        TypeError: an argument has the wrong type; at the start of a training, the optimizer runs no step hooks.
        ValueError: a number is out of range.

    Example:
        >>> from regtorch.huggingface import Doctor
        >>> trainer = Trainer(model, args, train_dataset=data, callbacks=[Doctor()])  # doctest: +SKIP
        >>> Doctor().findings
        []
    """

    def on_train_begin(
        self, args: Any, state: Any, control: Any, *, model: nn.Module, optimizer: Any, **_: Any
    ) -> None:
        """Begin the watch."""
        scaler = getattr(optimizer, "scaler", None)  # of accelerate's wrapper
        self._begin(model, optimizer, scaler, speaks=state.is_world_process_zero)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """End the watch."""
        self._end()

    def __getattr__(self, name: str) -> Callable[..., None]:
        """Do nothing at the Trainer's other events."""
        if name.startswith("on_"):
            return _do_nothing
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def _do_nothing(*_: Any, **__: Any) -> None:
    """An event of which nothing is learnt."""
