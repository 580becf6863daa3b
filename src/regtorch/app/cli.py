"""`regtorch train model=cnn reg=l2`: the programs, from any folder. `python -m regtorch` is the same."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

from regtorch.app.ground.lines import tell
from regtorch.app.record.command import INSTALLED, called, inherited
from regtorch.extras import not_installed

__all__ = ["main", "run"]

# The module of each program, and its description.
PROGRAMS = {
    "train": ("regtorch.app.run.main", "train a net with explicit penalties and constraints, or many (-m)"),
    "path": ("regtorch.app.path.main", "train many strengths of one net side by side"),
    "search": ("regtorch.app.search.main", "find a strength by trials that learn from each other"),
    "doctor": ("regtorch.app.doctor.main", "explain why a net does not learn under its regularizers"),
    "report": ("regtorch.app.report.main", "write one page about all runs in a folder"),
    "demo": ("regtorch.app.demo", "show in a minute what a penalty breaks and the doctor cures"),
    "conventions": ("regtorch.app.conventions", "convert a strength to every convention"),
}
_NO_READER = 141
"""The exit code, 128 + SIGPIPE, of a program whose output is no longer read, as in `regtorch --help | head -1`."""


def main() -> int:
    """Run the program that the first word of the command line names.

    Returns:
        Its exit code; 2 for an unknown program, 141 if the output is no longer read.
    """
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in PROGRAMS:
        del sys.argv[1]
    elif name not in ("", "-h", "--help", "--version") and inherited() in PROGRAMS:
        name = inherited()  # a process that Lightning started with its parent's overrides
    else:
        return _until_unread(lambda: _usage(name))
    os.environ[INSTALLED] = f"{called()} {name}"
    return run(name)


def run(name: str, *arguments: Any) -> int:
    """Run a program with the command line in `sys.argv`; `arguments` are those of its `main`.

    Returns:
        Its exit code; 1 if a package is missing, 141 if the output is no longer read.
    """
    if "--version" in sys.argv[1:]:
        return _until_unread(_version)
    try:
        return _until_unread(lambda: _loaded(PROGRAMS[name][0]).main(*arguments))
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("regtorch"):
            raise
        tell(f"error: {not_installed(error.name, f'regtorch {name}')}", sys.stderr)
        return 1


def _loaded(module: str) -> ModuleType:
    """Import a program; the garbage collector, which finds nothing there, need not look at what it loads again."""
    if module in sys.modules or not gc.isenabled():
        return import_module(module)
    gc.disable()
    try:
        return import_module(module)
    finally:
        gc.freeze()
        gc.enable()


def _until_unread(program: Callable[[], int]) -> int:
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed, as a scheduler may start a job
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
    try:
        try:
            return program()
        finally:
            sys.stdout.flush()  # here, not when Python ends, where an error cannot be caught
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still in the buffer
        return _NO_READER


def _version() -> int:
    print(import_module("regtorch").__version__)
    return 0


def _usage(name: str) -> int:
    if name == "--version":
        return _version()
    if name not in ("", "-h", "--help"):
        from regtorch.app.ground.errors import nearest  # late: it loads Hydra

        hint = nearest(name, [*PROGRAMS, "--help", "--version"]) or f"; {called()} --help lists them"
        tell(f"error: unknown program {name!r}{hint}", sys.stderr)
        return 2
    text = "\n".join(
        [
            f"usage: {called()} PROGRAM ...   (details: {called()} PROGRAM --help)",
            "",
            *(f"  {program:14}{does}" for program, (_, does) in PROGRAMS.items()),
            "",
            f"A first run, half a minute on two cores:  {called()} train model=cnn reg=l2 reg.lam=0.01",
            f"Configs of your own:  {called()} train --config-dir=FOLDER reg=mine",
        ]
    )
    tell(text)
    return 0 if name else 2
