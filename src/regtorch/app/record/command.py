"""How the programs are called: the commands they print, the processes they start, and where their configs are."""

import os
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

import regtorch

__all__ = ["INSTALLED", "command", "configs", "own_process"]

INSTALLED = "REGTORCH_PROGRAM"
"""The environment variable with a program's name where it was called as `regtorch NAME`, also for its processes."""


def command(program: str, words: Iterable[str] = ()) -> str:
    """How to call a program: `regtorch train …` or `python scripts/train.py …`, as this process was called."""
    called = ["regtorch", program] if INSTALLED in os.environ else ["python", f"scripts/{program}.py"]
    return shlex.join([*called, *words])


def own_process(name: str) -> list[str]:
    """The command of another process of this program."""
    return [sys.executable, *(["-m", "regtorch", name] if INSTALLED in os.environ else [sys.argv[0]])]


def configs() -> Path:
    """The folder of the configs: packed into a wheel, `conf/` of a checkout."""
    package = Path(regtorch.__file__).parent
    packed = package / "conf"
    return packed if packed.is_dir() else package.parents[1] / "conf"
