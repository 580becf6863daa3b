"""The best epoch: the one saved by the checkpoint callback, or else the highest validation score."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from regtorch.app.ground.checkpoint import load_checkpoint
from regtorch.app.ground.errors import Failed, RunError, nearest
from regtorch.app.record.ranking import best_epoch

__all__ = ["best_of", "monitored", "require_there"]


def best_of(trainer: Trainer, epochs: Sequence[Mapping[str, float]], folder: Path, score: str) -> dict[str, Any] | None:
    """The best epoch's number and validation metrics, and its checkpoint relative to `folder`, if saved."""
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint) and callback.monitor and callback.best_model_path:
            return _saved(callback, epochs, folder)
    best = best_epoch(epochs, f"val/{score}")
    return None if best is None else {**_of_epoch(best), "checkpoint": None}


def _saved(callback: ModelCheckpoint, epochs: Sequence[Mapping[str, float]], folder: Path) -> dict[str, Any]:
    """The epoch and step of a checkpoint, and the epoch's metrics if it was saved at its end."""
    path = Path(callback.best_model_path)
    require_there(path)
    saved = load_checkpoint(path)
    monitor, value = str(callback.monitor), float(callback.best_model_score or math.nan)
    metrics: dict[str, Any] = {"epoch": saved["epoch"] + 1, monitor: value}
    for epoch in epochs:
        if epoch["epoch"] == metrics["epoch"] and epoch.get(monitor) == value:
            metrics = _of_epoch(epoch)
    return {**metrics, "step": saved["global_step"], "checkpoint": str(path.relative_to(folder))}


def require_there(checkpoint: Path) -> None:
    """Check that a checkpoint of this run is still there.

    Raises:
        Failed: it is not.
    """
    if not checkpoint.is_file():
        raise Failed(f"{checkpoint} is no longer there, so the run is not recorded as finished")


def _of_epoch(epoch: Mapping[str, float]) -> dict[str, Any]:
    return {name: value for name, value in epoch.items() if not name.endswith("_step")}


def monitored(name: str, score: str) -> str:
    """The metric that a callback monitors; "val/score" is the task's score."""
    name = f"{name.partition('/')[0]}/{score}" if name in ("train/score", "val/score") else name
    known = [f"{stage}/{metric}" for stage in ("train", "val") for metric in (score, "loss", "task_loss", "penalty")]
    if name not in known:
        raise RunError(f"monitor: expected one of {', '.join(known)}, received {name!r}{nearest(name, known)}")
    return name
