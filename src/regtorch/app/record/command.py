"""Commands that run the programs, and the folder of their configs."""

import os
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

import regtorch

__all__ = ["INSTALLED", "command", "configs", "own_process"]

INSTALLED = "REGTORCH_PROGRAM"
"""Environment variable with the program's name, if it was called as `regtorch NAME`; child processes inherit it."""


def command(program: str, words: Iterable[str] = ()) -> str:
    """`regtorch train …` or `python scripts/train.py …`, in the form in which this process was called."""
    called = ["regtorch", program] if INSTALLED in os.environ else ["python", f"scripts/{program}.py"]
    return shlex.join([*called, *words])


def own_process(name: str) -> list[str]:
    """The command that starts another process of this program."""
    return [sys.executable, *(["-m", "regtorch", name] if INSTALLED in os.environ else [sys.argv[0]])]


def configs() -> Path:
    """The folder of the configs: inside an installed package, or `conf/` of a checkout."""
    package = Path(regtorch.__file__).parent
    packed = package / "conf"
    return packed if packed.is_dir() else package.parents[1] / "conf"
