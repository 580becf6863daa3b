"""How another process of the program that runs is started, and where the configs are."""

import os
import sys
from pathlib import Path

import regtorch
from regtorch.app.record.command import INSTALLED

__all__ = ["configs", "own_process"]


def own_process(name: str) -> list[str]:
    """What begins another process of the program that runs."""
    return [sys.executable, *(["-m", "regtorch", name] if INSTALLED in os.environ else [sys.argv[0]])]


def configs() -> Path:
    """The folder of the configs: packed into a wheel, `conf/` of a checkout."""
    package = Path(regtorch.__file__).parent
    packed = package / "conf"
    return packed if packed.is_dir() else package.parents[1] / "conf"
