"""Steps without the calls of hooks that do nothing, of which a run of this program has forty a step."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from lightning.pytorch.profilers import PassThroughProfiler

from lightning import Callback, LightningModule, Trainer

__all__ = ["HOOKS", "NoProfiler", "leave_out_empty_hooks"]

_NOTHING = nullcontext()
# Of a step, in its order; empty in both base classes.
HOOKS = (
    "on_train_batch_start",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_train_batch_end",
)


class NoProfiler(PassThroughProfiler):
    """Lightning's profiler that profiles nothing, without a generator for each hook."""

    def profile(self, action_name: str) -> AbstractContextManager[Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _NOTHING


def leave_out_empty_hooks(trainer: Trainer, module: LightningModule) -> None:
    """Hide the hooks of steps that are Lightning's own empty methods: a trainer calls what is callable."""
    callbacks: list[Callback] = trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
    for owner, kind in [*((callback, Callback) for callback in callbacks), (module, LightningModule)]:
        for name in HOOKS:
            if getattr(type(owner), name) is getattr(kind, name) and name not in vars(owner):
                setattr(owner, name, None)
