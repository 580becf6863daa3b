"""What every run of a program does alike is done once per process.

- The configs of the repository and of Hydra are read once; those of a test's own folder, which it may change, always.
- Hydra composes a config twice, first to find `hydra.mode`; once, unless the command line could set it.
- The picture of a run's curves is drawn once, and copied for later runs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from copy import copy, deepcopy
from pathlib import Path

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.core_plugins.importlib_resources_config_source import ImportlibResourcesConfigSource
from hydra._internal.hydra import Hydra
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.types import RunMode

from places import CONF
from regtorch.app.figures import history
from regtorch.app.figures.panel import Panel

__all__ = ["do_once"]


def do_once() -> None:
    """Change Hydra's and the program's functions in this process."""
    _keep(FileConfigSource, str(CONF))
    _keep(ImportlibResourcesConfigSource, "hydra.conf")
    _compose_once()
    _draw_once()


def _keep(kind: type[ConfigSource], place: str) -> None:
    read, kept = kind.load_config, dict[str, ConfigResult]()

    def load(self: ConfigSource, config_path: str) -> ConfigResult:
        if self.path != place:
            return read(self, config_path)
        if config_path not in kept:
            kept[config_path] = read(self, config_path)
        result = copy(kept[config_path])
        result.config = deepcopy(result.config)
        return result

    kind.load_config = load


def _compose_once() -> None:
    composed = Hydra.get_mode

    def get_mode(self: Hydra, config_name: str | None, overrides: list[str]) -> RunMode | None:
        decides = ("hydra.mode", "+hydra.mode", "++hydra.mode", "--config", "-cd", "-cp", "-cn", "hydra=", "+hydra=")
        if any(word.startswith(decides) for word in sys.argv[1:]):
            return composed(self, config_name, overrides)
        return None  # as from a config without `hydra.mode`

    Hydra.get_mode = get_mode


def _draw_once() -> None:
    draw, drawn = history.write_picture, list[bytes]()

    def write(panels: Sequence[Panel], title: str, path: Path) -> None:
        if drawn:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(drawn[0])
        else:
            draw(panels, title, path)
            drawn.append(path.read_bytes())

    history.write_picture = write
