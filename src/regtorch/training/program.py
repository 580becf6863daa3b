"""How the programs are called, so that the commands they print can be pasted, and where their configs are."""

import os
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

import regtorch

__all__ = ["INSTALLED", "command", "configs", "own_process"]

INSTALLED = "REGTORCH_PROGRAM"  # set to a program's name where it was called as `regtorch NAME`, also for its processes


def command(name: str, words: Iterable[str] = ()) -> str:
    """What one types for a program: `regtorch train …` or `python scripts/train.py …`, as this process was called."""
    called = ["regtorch", name] if INSTALLED in os.environ else ["python", f"scripts/{name}.py"]
    return shlex.join([*called, *words])


def own_process(name: str) -> list[str]:
    """What begins another process of the program that runs."""
    return [sys.executable, *(["-m", "regtorch", name] if INSTALLED in os.environ else [sys.argv[0]])]


def configs() -> Path:
    """The folder of the configs: packed into a wheel, `conf/` of a checkout."""
    package = Path(regtorch.__file__).parent
    packed = package / "conf"
    return packed if packed.is_dir() else package.parents[1] / "conf"
