"""A Trainer on the CPU that prints and keeps nothing."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

__all__ = ["bare_trainer"]


def bare_trainer(*callbacks: Callback, **options: Any) -> Trainer:
    """With these callbacks, of which one may save, and other options of Lightning's."""
    silent = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)
    saves = any(isinstance(callback, ModelCheckpoint) for callback in callbacks)
    usual = {"accelerator": "cpu", "enable_checkpointing": saves, "num_sanity_val_steps": 0, "log_every_n_steps": 1}
    return Trainer(callbacks=list(callbacks), **{**silent, **usual, **options})
