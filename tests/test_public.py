"""The public names and their signatures are those of public_names.txt; `python tests/test_public.py --write` writes it.

Rules are left out: docs/rules.md holds their names and arguments.

A class is followed by the public classes of the library that it is derived from, and by what it adds to them. What is
public in several modules is written out in the first.
"""

from __future__ import annotations

import difflib
import inspect
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from rules_page import KINDS, rules

NAMES = Path(__file__).with_name("public_names.txt")
MODULES = [
    import_module(f"regtorch{part}")
    for part in (
        *("", ".penalties", ".constraints", ".outputs", ".select", ".schedules", ".init", ".nn", ".conventions"),
        *(".testing", ".plot", ".keras", ".keras.losses", ".models", ".training", ".huggingface.doctor"),
    )
]
RULES = {thing for kind in KINDS.values() for thing in rules(kind).values()}
PUBLIC = {
    f"{module.__name__}.{name}": thing
    for module in MODULES
    for name in module.__all__
    if not isinstance(thing := getattr(module, name), type | FunctionType) or thing not in RULES
}
CLASSES = {thing for thing in PUBLIC.values() if isinstance(thing, type)}


def signature(thing: Any) -> str:
    """Without the modules that types are from: these may move."""
    try:
        shown = str(inspect.signature(thing))
    except ValueError:  # a builtin's
        return "(...)"
    return re.sub(r"\b(?:[A-Za-z_]\w*\.)+(?=[A-Za-z_])", "", shown)


def parents(cls: type) -> list[type]:
    return [base for base in cls.__mro__[1:] if base in CLASSES]


def members(cls: type) -> Iterator[str]:
    """What a class adds to its public parents."""
    theirs = {base for parent in parents(cls) for base in parent.__mro__}
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.startswith("regtorch") and base not in theirs:
            found |= {
                name: value for name, value in vars(base).items() if not name.startswith("_") and _own(value, base)
            }
    for name, value in sorted(found.items()):
        if isinstance(value, property):
            yield f"{name}: property"
        elif isinstance(value, classmethod | staticmethod) or inspect.isfunction(value):
            yield name + signature(getattr(cls, name))


def _own(value: Any, cls: type) -> bool:
    """Not what torch puts into an optimizer's class when one is made: its parent's `step`, wrapped."""
    return not hasattr(value, "hooked") or value.__qualname__ == f"{cls.__qualname__}.step"


def lines() -> Iterator[str]:
    first: dict[int, str] = {}
    for path, thing in sorted(PUBLIC.items(), key=lambda item: (item[0].count("."), item[0])):
        if isinstance(thing, ModuleType):
            yield f"{path}: module"
        elif not callable(thing):
            yield f"{path}: {type(thing).__name__}"
        elif first.setdefault(id(thing), path) != path:
            yield f"{path} is {first[id(thing)]}"
        else:
            yield path + signature(thing)
            if isinstance(thing, type):
                yield from (f"    of {parent.__name__}" for parent in parents(thing))
                yield from (f"    {member}" for member in members(thing))


def test_names_and_signatures_are_those_that_were_promised():
    promised = NAMES.read_text(encoding="utf-8").splitlines()
    difference = difflib.unified_diff(promised, list(lines()), "promised", "found", lineterm="", n=0)
    assert not (shown := "\n".join(difference)), f"if this is meant: python tests/test_public.py --write\n{shown}"


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        raise SystemExit("usage: python tests/test_public.py --write")
    NAMES.write_text("\n".join(lines()) + "\n", encoding="utf-8")
