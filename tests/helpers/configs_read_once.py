"""The configs of the repository and of Hydra are read once per process, which is a quarter of Hydra's time.

Those of a test's own folder, which it may change, are read whenever they are asked for.
"""

from __future__ import annotations

from copy import copy, deepcopy

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.core_plugins.importlib_resources_config_source import ImportlibResourcesConfigSource
from hydra.plugins.config_source import ConfigResult, ConfigSource

from places import CONF

__all__ = ["read_once"]


def read_once() -> None:
    """Keep what these two kinds of sources read."""
    _keep(FileConfigSource, str(CONF))
    _keep(ImportlibResourcesConfigSource, "hydra.conf")


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
