"""Checkpoints that replace older ones whole or not at all."""

from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import Trainer

from regtorch.app.ground.atomic import whole

__all__ = ["WholeCheckpoints", "keep_whole"]


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it there.

    Lightning's own writes it to the system's temporary folder; where that is on another file system, it is then copied
    over the old one, and neither is left where the process is killed meanwhile.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint; one that goes to another machine goes as Lightning sends it."""
        place = str(path).removeprefix("file://")
        if storage_options is not None or "://" in place:
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        with whole(Path(place)) as temporary, temporary.open("wb") as file:
            torch.save(checkpoint, file)


def keep_whole(trainer: Trainer) -> None:
    """Let a trainer write such checkpoints, unless its strategy or a plugin has a way of its own."""
    if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
        trainer.strategy.checkpoint_io = WholeCheckpoints()
