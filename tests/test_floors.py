"""The house: a module imports only from its own floor or lower ones, and the core imports torch alone."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import regtorch as rt

SOURCE = Path(rt.__file__).parent
FLOORS = [
    {"rule", "norms", "gradients", "singular", "penalties", "constraints", "conventions", "nn", "init", "schedules"},
    {"roles", "sharded", "units", "weights", "select", "receipt", "param_groups", "depth", "testing"},
    {
        *("optimizers", "frames", "unwrap", "held", "lending", "proximal", "unstepped", "outer_steps", "attached"),
        *(
            "hooks",
            "transforms",
            "passes",
            "terms",
            "bound",
            "bound_constraint",
            "bind",
            "debug",
            "activity",
            "estimates",
        ),
    },
    {"keras", "doctor", "models"},
    {"data", "training"},
    {"sweep", "bench"},
]
FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names}
# `penalty.on(model)` is a convenience that needs the floor above when it is called.
STEPS_UP = {("penalties", "bind"), ("constraints", "bind")}
FILES = [path for path in SOURCE.rglob("*.py") if path.parent != SOURCE or path.name != "__init__.py"]


def part(path: Path) -> str:
    return path.relative_to(SOURCE).with_suffix("").parts[0]


def imported(path: Path) -> set[str]:
    """Every module imported anywhere in a file, blocks for type checkers apart."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are absolute"
            module = node.module or ""
            found |= {f"{module}.{alias.name}" for alias in node.names} if module == "regtorch" else {module}
    return found


def breaches(path: Path) -> Iterator[str]:
    here, where = part(path), path.relative_to(SOURCE)
    for name in sorted(imported(path)):
        if name.startswith("regtorch."):
            there = name.split(".")[1]
            if FLOOR[there] > FLOOR[here] and (here, there) not in STEPS_UP:
                yield f"{where} imports {name} from a floor above"
        elif FLOOR[here] <= 2 and name.split(".")[0] not in {"torch", *sys.stdlib_module_names}:
            yield f"{where} imports {name}"


def test_imports_go_down():
    assert [breach for path in FILES for breach in breaches(path)] == []


def test_importing_regtorch_loads_torch_and_nothing_heavier():
    code = "import sys, torch; before = set(sys.modules); import regtorch; print(*sorted(set(sys.modules) - before))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    new = {name.split(".")[0] for name in result.stdout.split()}
    assert new <= {"regtorch", "torch", *sys.stdlib_module_names}
    assert not {"lightning", "hydra", "torchvision", "numpy.random"} & set(result.stdout.split())


def test_files_stay_small():
    lines = {str(path.relative_to(SOURCE)): len(path.read_text().splitlines()) for path in FILES}
    assert {path: count for path, count in lines.items() if count > 300} == {}


@pytest.mark.parametrize("name", [n for n in rt.__all__ if not inspect.ismodule(getattr(rt, n))])
def test_public_names_are_explained_and_shown(name: str):
    thing = getattr(rt, name)
    assert thing.__doc__, name
    shown_elsewhere = {"Penalty", "Constraint", "BoundPenalty", "BoundConstraint", "BoundSum", "SelectionError"}
    if name not in shown_elsewhere:
        assert ">>>" in thing.__doc__, f"{name} has no runnable example"
