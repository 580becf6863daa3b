"""`regtorch train model=cnn reg=l2`: the programs, from any folder. `python -m regtorch` is the same."""

from __future__ import annotations

import os
import sys
from importlib import import_module

from regtorch.app.record.command import INSTALLED

__all__ = ["main"]

# The module of each program, and its description.
PROGRAMS = {
    "train": ("regtorch.app.run.main", "train a net with explicit penalties and constraints, or many (-m)"),
    "path": ("regtorch.app.path.main", "train many strengths of one net side by side"),
    "search": ("regtorch.app.search.main", "find a strength by trials that learn from each other"),
    "doctor": ("regtorch.app.doctor.main", "explain why a net does not learn under its regularizers"),
    "report": ("regtorch.app.report.main", "write one page about all runs in a folder"),
    "conventions": ("regtorch.conventions.__main__", "convert a strength to every convention"),
}


def main() -> int:
    """Run the program that the first word of the command line names.

    Returns:
        Its exit code; 2 for an unknown program.
    """
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in PROGRAMS:
        del sys.argv[1]
    elif name not in ("", "-h", "--help", "--version") and os.environ.get(INSTALLED) in PROGRAMS:
        name = os.environ[INSTALLED]  # a process that Lightning started with its parent's overrides
    else:
        return _usage(name)
    os.environ[INSTALLED] = name
    try:
        return import_module(PROGRAMS[name][0]).main()
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("regtorch"):
            raise
        print(f"error: {error.name} is not installed; pip install 'regtorch[app]'", file=sys.stderr)
        return 1


def _usage(name: str) -> int:
    if name == "--version":
        print(import_module("regtorch").__version__)
        return 0
    text = "\n".join(
        [
            "usage: regtorch PROGRAM ...   (details: regtorch PROGRAM --help)",
            "",
            *(f"  {program:14}{does}" for program, (_, does) in PROGRAMS.items()),
            "",
            "A first run, half a minute on two cores:  regtorch train model=cnn reg=l2 reg.lam=0.01",
            "Configs of your own:  regtorch train --config-dir=FOLDER reg=mine",
        ]
    )
    wrong = name not in ("", "-h", "--help")
    if wrong:
        print(f"error: unknown program {name!r}\n", file=sys.stderr)
    print(text, file=sys.stderr if wrong else sys.stdout)
    return 2 if wrong or not name else 0
