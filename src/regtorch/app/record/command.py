"""Commands that run the programs, and the folder of their configs."""

import os
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

import regtorch

__all__ = ["INSTALLED", "called", "command", "configs", "inherited", "own_process"]

INSTALLED = "REGTORCH_PROGRAM"
"""Environment variable with the words that started an installed program, as `regtorch train`; child processes inherit
it. A script of a checkout has none."""


def called() -> str:
    """The words before a program's name: `regtorch` or `python -m regtorch`."""
    return _started()[0] or ("python -m regtorch" if Path(sys.argv[0]).name == "__main__.py" else "regtorch")


def inherited() -> str:
    """The name of the installed program that this process, or the one that started it, runs; '' if there is none."""
    return _started()[1]


def command(program: str, words: Iterable[str] = ()) -> str:
    """`regtorch train …` or `python scripts/train.py …`, in the form in which this process was called.

    The script is named as it was when it was started, so that the command works in the same folder.
    """
    start = f"{called()} {program}" if INSTALLED in os.environ else f"python {shlex.quote(_script(program))}"
    return f"{start} {shlex.join(words)}".rstrip()


def _script(program: str) -> str:
    """A script of the checkout, beside the one that was started."""
    started, scripts = Path(sys.argv[0]), Path(regtorch.__file__).parents[2] / "scripts"
    if started.absolute().parent.resolve() != scripts.resolve() or not started.is_file():
        return f"scripts/{program}.py"  # another process of it, or none
    return str(started.with_name(f"{program}.py"))


def own_process(name: str) -> list[str]:
    """The command that starts another process of this program."""
    return [sys.executable, *(["-m", "regtorch", name] if INSTALLED in os.environ else [sys.argv[0]])]


def configs() -> Path:
    """The folder of the configs: inside an installed package, or `conf/` of a checkout."""
    package = Path(regtorch.__file__).parent
    packed = package / "conf"
    return packed if packed.is_dir() else package.parents[1] / "conf"


def _started() -> tuple[str, str]:
    form, _, program = os.environ.get(INSTALLED, "").rpartition(" ")
    return form, program
