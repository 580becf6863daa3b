"""What every run of a program does alike is done once per process.

- The configs of the repository and of Hydra are read once; those of a test's own folder, which it may change, always.
- An interpolation, `${data.num_classes}`, is parsed once; what a config knows of its nodes is copied without deepcopy.
- Hydra composes a config twice, first to find `hydra.mode`; once, unless the command line could set it.
- The picture of a run's curves is drawn once, and copied for later runs; so are those beside a report's page, which
  show what the page draws, too.
- No write waits for the disk: a test's files need not outlive a power cut.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Sequence
from copy import copy, deepcopy
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import omegaconf.base
from hydra._internal.hydra import Hydra
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.types import RunMode
from omegaconf.base import Metadata
from omegaconf.grammar_parser import parse

from places import CONF
from regtorch.app.figures import history
from regtorch.app.report import sections
from regtorch.plot.panel import Panel

__all__ = ["do_once"]


@cache
def do_once() -> None:
    """Change Hydra's and the program's functions in this process."""
    _keep("file", str(CONF))
    _keep("pkg", "hydra.conf")
    vars(omegaconf.base)["parse"] = cache(parse)
    Metadata.__deepcopy__ = _copied
    _compose_once()
    _draw_once(history, "write_picture")
    _draw_once(sections, "write_pictures")
    os.fsync = lambda _: None


def _keep(scheme: str, place: str) -> None:
    Plugins.instance()  # which loads the sources' modules a second time: Hydra reads with classes of its own
    kind = SourcesRegistry.instance().resolve(scheme)
    read, kept = kind.load_config, dict[str, tuple[ConfigResult, bytes]]()

    def load(self: ConfigSource, config_path: str) -> ConfigResult:
        if self.path != place:
            return read(self, config_path)
        if config_path not in kept:
            result = read(self, config_path)
            kept[config_path] = result, pickle.dumps(result.config)
        result, config = kept[config_path]
        result = copy(result)
        result.config = pickle.loads(config)  # a copy, in half of deepcopy's time
        return result

    kind.load_config = load


def _copied(self: Metadata, memo: dict[int, Any]) -> Metadata:
    """Of types, names and flags, which every node of a config has; deepcopy takes twice as long."""
    made = object.__new__(type(self))
    made.__dict__.update(self.__dict__, flags=copy(self.flags), resolver_cache=deepcopy(self.resolver_cache, memo))
    return made


def _compose_once() -> None:
    composed = Hydra.get_mode

    def get_mode(self: Hydra, config_name: str | None, overrides: list[str]) -> RunMode | None:
        decides = ("hydra.mode", "+hydra.mode", "++hydra.mode", "--config", "-cd", "-cp", "-cn", "hydra=", "+hydra=")
        if any(word.startswith(decides) for word in sys.argv[1:]):
            return composed(self, config_name, overrides)
        return None  # as from a config without `hydra.mode`

    Hydra.get_mode = get_mode


def _draw_once(module: ModuleType, name: str) -> None:
    draw, drawn = getattr(module, name), dict[str, bytes]()

    def write(panels: Sequence[Panel], title: str, path: Path) -> None:
        endings = [""] if name == "write_picture" else [".png", ".svg", ".pdf"]
        if drawn:
            path.parent.mkdir(parents=True, exist_ok=True)
            for ending in endings:
                path.with_name(f"{path.name}{ending}").write_bytes(drawn[ending])
        else:
            draw(panels, title, path)
            drawn.update({ending: path.with_name(f"{path.name}{ending}").read_bytes() for ending in endings})

    setattr(module, name, write)
