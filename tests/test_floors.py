"""The house: a module imports only from its own floor or below, the library imports torch alone, files are small."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import regtorch as rt
from places import ROOT

SOURCE = Path(rt.__file__).parent
FLOORS = [
    # the library, on torch alone
    {
        *("checks", "rule", "numerics", "penalties", "constraints", "masked", "outputs"),
        *("conventions", "nn", "init", "schedules", "shapes", "extras", "memory", "wrong_options", "counted"),
        *("notebook", "spread"),
    },
    {"select", "testing"},
    {"steps", "bound", "estimates"},
    {"keras", "doctor", "moved", "trainers", "plot"},
    {"lightning", "training", "huggingface", "skorch"},
    # the program
    {"app.ground", "app.data", "app.nets", "data", "models"},
    {"app.record"},
    {"app.config"},
    {"app.figures", "app.pages", "app.terminal"},
    {"app.grid"},
    {"app.run"},
    {"app.path", "app.search", "app.doctor", "app.report"},
    {"app.conventions", "app.cli", "app.demo"},
    {"__main__"},
]
FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names}
LIBRARY = FLOOR["doctor"]
# `penalty.on(model)` is a convenience that needs the floor above when it is called; a rule's part is such a rule.
STEPS_UP = {("penalties", "bound"), ("constraints", "bound"), ("masked", "bound")}
STEPS_UP |= {("keras", "lightning")}  # metric and regularized_module make objects of Lightning and torchmetrics
STEPS_UP |= {(rules, "part") for rules in ("penalties", "constraints")}
# Packages of an extra, which are imported inside the functions that use them alone.
OPTIONAL = {"keras.files": {"h5py"}, "plot": {"matplotlib"}}  # Keras's files are HDF5
FILES = [path for path in SOURCE.rglob("*.py") if path not in (SOURCE / "__init__.py", SOURCE / "app" / "__init__.py")]


def module_of(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in SOURCE.rglob("*.py")}


def for_type_checkers(nodes: Sequence[ast.AST]) -> set[int]:
    """The ids of the nodes under `if TYPE_CHECKING`."""
    blocks = [
        node
        for node in nodes
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    ]
    return {id(inner) for block in blocks for statement in block.body for inner in ast.walk(statement)}


@cache
def imported(path: Path) -> dict[bool, set[str]]:
    """Every module imported anywhere in a file: by True those for type checkers alone, by False the others."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    types = for_type_checkers(nodes)
    found: dict[bool, set[str]] = {True: set(), False: set()}
    for node in nodes:
        if isinstance(node, ast.Import):
            found[id(node) in types] |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are absolute"
            module = node.module or ""
            inner = {f"{module}.{alias.name}" for alias in node.names}
            names = {name if name in MODULES or module == "regtorch" else module for name in inner}
            found[id(node) in types] |= names
    return found


@cache
def imported_at_once(path: Path) -> set[str]:
    """The packages imported outside of functions, that is, with the file."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    later = {id(inner) for function in functions for inner in ast.walk(function)} | for_type_checkers(nodes)
    now = [node for node in nodes if id(node) not in later]
    names = {alias.name for node in now if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in now if isinstance(node, ast.ImportFrom)}
    return {name.split(".")[0] for name in names}


def optional(path: Path) -> set[str]:
    """The packages that a file may import inside functions, and does not import outside."""
    module = module_of(path).partition(".")[2]
    found = {name for part, names in OPTIONAL.items() if f"{module}.".startswith(f"{part}.") for name in names}
    return found - imported_at_once(path)


def room(module: str) -> str:
    """The room that a module lies in, such as `steps` or `app.run`."""
    parts = module.split(".")[1:]
    return ".".join(parts[: 2 if parts[:1] == ["app"] else 1])


def breaches(path: Path, *, for_types: bool) -> Iterator[str]:
    here, where = room(module_of(path)), path.relative_to(SOURCE)
    allowed = {"torch", *sys.stdlib_module_names, *(["numpy"] if for_types else [])} | optional(path)
    for name in sorted(imported(path)[for_types]):
        if name.startswith("regtorch."):
            if FLOOR[room(name)] > FLOOR[here] and (here, room(name)) not in STEPS_UP:
                yield f"{where} imports {name} from a floor above"
        elif FLOOR[here] <= LIBRARY and name.split(".")[0] not in allowed:
            yield f"{where} imports {name}"


def runtime_imports(path: Path, module: str) -> list[str]:
    """What a module of the house imports from the house when it runs, but for the conveniences."""
    return [
        name
        for name in imported(path)[False]
        if name in MODULES and module != "regtorch" and not {(room(module), part) for part in _parts(name)} & STEPS_UP
    ]


def _parts(module: str) -> set[str]:
    return {room(module), module.rpartition(".")[2]}


@pytest.mark.parametrize("for_types", [False, True])
def test_imports_go_down(for_types: bool):
    assert [breach for path in FILES for breach in breaches(path, for_types=for_types)] == []


def test_no_module_imports_itself_through_others():
    """Also inside packages, and inside functions."""
    graph = {module: runtime_imports(path, module) for module, path in MODULES.items()}
    TopologicalSorter(graph).prepare()  # raises CycleError, which shows the circle


def test_no_room_imports_itself_through_others():
    graph: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        if "." in module and module != "regtorch.app":
            rooms = {room(name) for name in runtime_imports(path, module)} - {room(module), "", "app"}
            graph.setdefault(room(module), set()).update(rooms)
    TopologicalSorter(graph).prepare()


@pytest.mark.script
def test_importing_regtorch_loads_torch_and_nothing_heavier():
    code = "import sys, torch; before = set(sys.modules); import regtorch; print(*sorted(set(sys.modules) - before))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    new = {name.split(".")[0] for name in result.stdout.split()}
    assert new <= {"regtorch", "torch", *sys.stdlib_module_names}
    assert not {"lightning", "hydra", "torchvision", "numpy.random"} & set(result.stdout.split())
    assert not any(name.startswith(("regtorch.app", "regtorch.lightning")) for name in result.stdout.split())


def test_files_stay_small():
    files = [path for folder in ("src", "tests", "scripts") for path in (ROOT / folder).rglob("*.py")]
    lines = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert {path: count for path, count in lines.items() if count > 300} == {}


def test_test_files_have_names_of_their_own():
    """Pytest imports them by their names alone, and refuses the second of a name."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert {name: count for name, count in names.items() if count > 1} == {}


@pytest.mark.parametrize("name", [n for n in rt.__all__ if not inspect.ismodule(getattr(rt, n))])
def test_public_names_are_explained_and_shown(name: str):
    thing = getattr(rt, name)
    assert thing.__doc__, name
    shown_elsewhere = {"Penalty", "Constraint", "BoundPenalty", "BoundConstraint", "BoundSum", "SelectionError"}
    if name not in shown_elsewhere:
        assert ">>>" in thing.__doc__, f"{name} has no runnable example"
