"""How the threads of our programs wait for each other; set before torch is loaded, which reads it then.

By default threads that wait keep their core busy. Beside another busy process one then waits for a core that the
others hold: on two cores a step of a small net takes 10 to 70 times as long. Threads that sleep lose 5 % of such a step
on an idle machine.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["is_program"]

_PROGRAMS = ("train", "path", "search", "doctor", "demo")
_SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
_OWN = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")  # of OpenMP, GNU's and LLVM's


def is_program(command: Sequence[str]) -> bool:
    """Whether a command starts a program of ours: `regtorch`, `python -m regtorch`, or a script of the repository."""
    if "-m" in command:
        return command[command.index("-m") + 1 :][:1] == ["regtorch"]
    started = [Path(word) for word in command[:2]]
    own = [path for path in started if path.stem in _PROGRAMS and path.suffix == ".py"]
    return any(path.stem == "regtorch" for path in started) or any(path.resolve().parent == _SCRIPTS for path in own)


if is_program(sys.orig_argv) and not any(name in os.environ for name in _OWN):
    os.environ["OMP_WAIT_POLICY"] = "passive"
