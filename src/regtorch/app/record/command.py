"""The commands that the programs print for copying."""

import os
import shlex
from collections.abc import Iterable

__all__ = ["INSTALLED", "command"]

INSTALLED = "REGTORCH_PROGRAM"
"""The environment variable with a program's name where it was called as `regtorch NAME`, also for its processes."""


def command(program: str, words: Iterable[str] = ()) -> str:
    """How to call a program: `regtorch train …` or `python scripts/train.py …`, as this process was called."""
    called = ["regtorch", program] if INSTALLED in os.environ else ["python", f"scripts/{program}.py"]
    return shlex.join([*called, *words])
