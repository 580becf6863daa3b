"""The folder of a search, into which later starts and workers write too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, open_dict

from regtorch.app.ground.folders import folder_named
from regtorch.app.record.file_names import ERROR

__all__ = ["KeepFirst", "is_new"]


def is_new(folder: Path) -> bool:
    """Whether no search has begun in a folder: it holds at most what a refused start leaves."""
    return not folder.exists() or all(path.name in (".hydra", ERROR) for path in folder.iterdir())


class KeepFirst(Callback):
    """Keeps the configuration in `.hydra/` that began a search."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        if not is_new(Path(folder_named(config, "hydra.run.dir"))):
            with open_dict(config):
                config.hydra.output_subdir = None
