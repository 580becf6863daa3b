"""Checkpoints that are replaced atomically, and never by weights that are not finite."""

from pathlib import Path
from typing import Any

from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import Trainer
from torch import Tensor

from regtorch.app.ground.atomic import atomic
from regtorch.app.ground.checkpoint import save_checkpoint
from regtorch.app.ground.errors import Diverged
from regtorch.app.run.culprit import ADVICE
from regtorch.numerics.finite import not_finite

__all__ = ["AtomicCheckpoints", "use_atomic_checkpoints"]


class AtomicCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint into its folder under a temporary name and renames it.

    Lightning writes into the system's temporary folder; if that is another file system, the copy overwrites the old
    checkpoint, and a killed process leaves neither.

    Attributes:
        masks: names of buffers that may hold infinite values, as they did when training began.
    """

    masks: frozenset[str] = frozenset()

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint; Lightning writes remote ones.

        Raises:
            Diverged: its weights are not finite; the checkpoint before it stays.
        """
        state = checkpoint.get("state_dict", {})
        weights = {n: v for n, v in state.items() if isinstance(v, Tensor) and v.is_floating_point()}
        weights = {name: value for name, value in weights.items() if name not in self.masks}
        if wrong := not_finite(weights):
            raise Diverged(
                f"{wrong[0].removeprefix('net.')} has NaN or infinite values, so {path} is not written: {ADVICE}"
            )
        local = str(path).removeprefix("file://")
        if storage_options is not None or "://" in local:
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        with atomic(Path(local)) as temporary:
            save_checkpoint(checkpoint, temporary)


def use_atomic_checkpoints(trainer: Trainer) -> None:
    """Make a trainer write atomic checkpoints, unless its strategy or a plugin has its own writer."""
    if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
        trainer.strategy.checkpoint_io = AtomicCheckpoints()
