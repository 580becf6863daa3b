"""TensorBoard's files as they were at a save: a resumed run cuts off what was written after it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from lightning.pytorch.loggers import TensorBoardLogger

__all__ = ["cut", "sizes"]

_FILES = "events.out.tfevents.*"


def sizes(logger: TensorBoardLogger) -> dict[str, int]:
    """The bytes of each file of a logger that has been flushed, by name."""
    return {path.name: path.stat().st_size for path in Path(logger.log_dir).glob(_FILES)}


def cut(logger: TensorBoardLogger, saved: Mapping[str, int]) -> None:
    """Bring a logger's files back to the sizes of a save, and remove those begun after it.

    Call it before the logger has opened a file of its own.
    """
    for path in Path(logger.log_dir).glob(_FILES):
        size = saved.get(path.name)
        if size is None:
            path.unlink()
        elif 0 <= size < path.stat().st_size:
            os.truncate(path, size)
