"""`python -m mutants src/regtorch/steps/hooks.py`: which small changes of a file do its tests not notice?

A process that has imported torch forks for each. The child imports it in place of the file and runs, until one fails,
the tests that were on the changed lines, always on the same examples of Hypothesis."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import gc
import importlib
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from itertools import accumulate
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest
from hypothesis import Phase, settings

from mutants.operators import Mutant, mutants

# How the names of the tests of a file or a room begin; elsewhere, as the file's own name.
TESTS = {
    "bound/activity": "activity passes",
    "bound/bound_rule": "bare bind own_rules unfreezing units",
    "bound/constraint": "bind constraints hooks unfreezing wrappers",
    "bound/passes": "activity passes",
    "bound/penalty": "attached bare bind lending own_rules transforms unfreezing",
    "bound/terms": "bind hooks own_rules schedules",
    "bound/transforms": "transforms",
    "constraints": "cases constraints masked masks numpy own_rules projections rules",
    "conventions": "conventions",
    "estimates": "anchored estimates lam_max",
    "masked": "masked masks",
    "memory": "keras_settings",
    "numerics/blocks": "blocks",
    "numerics/generators": "doctor_restored compile_step_odd",
    "numerics/gradients": "bind gradients",
    "numerics/unit_norms": "constraints group norms",
    "numerics/unreplaced": "places sharded_whole",
    "numerics/capturing": "waits",
    "numerics/singular": "anchored debug projections singular",
    "outputs": "outputs",
    "penalties": "anchored bind_weights group lending masked numpy own_rules penalties proximal_sums rules variation",
    "rule": "constraints own_rules penalties rules",
    "select/depth": "init layer_decay",
    "select/language": "activity select unfreezing weights",
    "select/layout": "bare constraints group units",
    "select/listing": "notebook_shown",
    "select/param_groups": "init layer_decay",
    "select/places": "places bare bind select",
    "select/receipt": "bind own_rules unfreezing",
    "select/roles": "bare roles select",
    "select/weight": "bare bind init roles select weights",
    "steps/attached": "attached hooks lending schedules unfreezing wrappers",
    "steps/compiled_step": "compile_step",
    "steps/closures": "hooks_closure wrappers_closures",
    "steps/debug": "debug",
    "steps/frames": "hooks passes wrappers",
    "steps/fused": "fuse",
    "steps/held": "attached hooks lending two_optimizers",
    "steps/kept": "attached hooks unfreezing",
    "steps/hooks": "hooks lending schedules unfreezing wrappers",
    "steps/lending": "lending",
    "steps/one_pass/compiled": "fuse",
    "steps/one_pass/compiled_steps": "fuse",
    "steps/one_pass/direct": "fuse",
    "steps/one_pass/inductor": "fuse",
    "steps/one_pass/kinds": "fuse",
    "steps/one_pass/plan": "fuse",
    "steps/one_pass/present": "fuse",
    "steps/one_pass/recipe": "fuse",
    "steps/one_pass/updates": "fuse",
    "steps/one_pass/whole": "compile_step",
    "steps/optimizers": "lending optimizers_facts proximal_sums",
    "steps/outer_steps": "wrappers",
    "steps/parts": "two_optimizers handles hooks",
    "steps/proximal": "proximal",
    "steps/scheduled": "schedules",
    "steps/shares": "sharded",
    "steps/unstepped": "hooks wrappers",
    "steps/wrappers": "hooks wrappers",
    "testing": "own_rules",
}

# Where pytest rewrites assertions, it imports in its own way: the file, not the mutant.
OPTIONS = ["-q", "-x", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:xdist"]
NOT_IMPORTED = 70
Tests = dict[str, tuple[float, list[int]]]  # how long each took, and the lines of the file on which it was


class Loader(SourceFileLoader):
    """Imports another source in place of a file's."""

    def __init__(self, file: Path, source: str):
        super().__init__(".".join(file.with_suffix("").parts[file.parts.index("src") + 1 :]), str(file))
        self._source = source

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._source, self.path, "exec", dont_inherit=True)

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        return spec_from_file_location(name, self.path, loader=self) if name == self.name else None


class Chosen:
    """A plugin: the chosen tests alone, the fastest first."""

    def __init__(self, tests: list[str]):
        self._order = {test: i for i, test in enumerate(tests)}

    def pytest_configure(self) -> None:
        phases = [Phase.explicit, Phase.generate]
        settings.register_profile("mutants", settings(), derandomize=True, database=None, phases=phases)
        settings.load_profile("mutants")

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self._order:
            items[:] = sorted((i for i in items if i.nodeid in self._order), key=lambda i: self._order[i.nodeid])


class Watched(Chosen):
    """A plugin: how long each test takes and on which lines of a file it is."""

    def __init__(self, file: Path):
        super().__init__([])
        self._file = str(file)
        self.tests: Tests = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        lines: set[int] = set()

        def trace(frame: FrameType, event: str, _: Any) -> Any:
            if frame.f_code.co_filename == self._file:
                lines.add(frame.f_lineno)
                return trace
            return None

        begun = time.monotonic()
        sys.settrace(trace)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            # One that is on no line may notice what the import runs: a default, what a dataclass makes.
            self.tests[item.nodeid] = (time.monotonic() - begun, sorted(lines))


def fork(work: Callable[[], int], log: str = os.devnull) -> int:
    """A child that works in silence and in a group of its own."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            os.setsid()
            silence = os.open(log, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(silence, stream)
            code = int(work())
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return pid


def run(loader: Loader, arguments: list[str], plugin: Chosen, seconds: float = 0) -> int:
    """The tests, in this process; it is ended where they take too long."""
    sys.meta_path.insert(0, loader)
    signal.alarm(int(seconds))
    code = pytest.main([*OPTIONS, *arguments], plugins=[plugin])
    return code if code or getattr(sys.modules.get(loader.name), "__loader__", None) is loader else NOT_IMPORTED


def watched(file: Path, arguments: list[str]) -> Tests:
    """Run the tests of the file as it is, and import here what they have imported of others."""
    with tempfile.NamedTemporaryFile() as out, tempfile.NamedTemporaryFile("r", errors="replace") as log:

        def work() -> int:
            plugin = Watched(file)
            code = run(Loader(file, file.read_text()), arguments, plugin)
            others = [
                name for name, module in sys.modules.items() if "site-packages" in str(getattr(module, "__file__", ""))
            ]
            Path(out.name).write_text(json.dumps([plugin.tests, others, dict(os.environ)]))
            return code

        _, status = os.waitpid(fork(work, log.name), 0)
        if status:
            sys.exit(f"mutants: the tests must pass before a mutant is made\n{log.read()}")
        tests, others, environment = json.loads(Path(out.name).read_text())
    os.environ.update(environment)
    for name in others:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    gc.freeze()  # pytest collects garbage at its end, which need not look through all that is imported
    return tests


def within(tests: dict[str, float], most: float) -> list[str]:
    """The fastest tests first, those that take `most` seconds together, and one at least."""
    ordered = sorted(tests, key=tests.__getitem__)
    ends = accumulate(tests[test] for test in ordered)
    return [test for i, (test, end) in enumerate(zip(ordered, ends, strict=True)) if not i or end <= most]


def survivors(file: Path, made: list[Mutant], tests: Tests, jobs: int, least: float, most: float) -> list[Mutant]:
    """Run all mutants, `jobs` at a time; the first is the file as it is."""
    running: dict[int, Mutant] = {}
    alive: list[Mutant] = []

    def wait() -> None:
        pid, status = os.wait()
        if status == NOT_IMPORTED << 8:
            sys.exit("mutants: the tests have imported the file, not the mutant")
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)  # what it has started
        mutant = running.pop(pid)
        if status == 0:
            alive.append(mutant)
        print("s" if status == 0 else ".", end="", flush=True)

    for mutant in made:
        on = {t: took for t, (took, lines) in tests.items() if mutant.lines is None or set(lines) & set(mutant.lines)}
        chosen = within(on, most)
        if not chosen:
            alive.append(mutant)
            continue
        loader = Loader(file, mutant.source)
        files = sorted({test.split("::")[0] for test in chosen})
        seconds = least + 2 * sum(on[test] for test in chosen)  # traced, they took longer
        running[fork(lambda: run(loader, files, Chosen(chosen), seconds))] = mutant  # noqa: B023
        if len(running) == jobs or mutant is made[0]:
            wait()
    while running:
        wait()
    print()
    return alive


def tests_of(file: Path) -> list[str]:
    """The files of tests by the table, and the file itself for its examples."""
    parts = file.parts[file.parts.index("regtorch") + 1 :] if "regtorch" in file.parts else file.parts[-1:]
    place = Path(*parts).with_suffix("")
    words = (TESTS.get(place.as_posix()) or TESTS.get(place.parts[0], place.name.partition("_")[0])).split()
    begin = tuple(f"test_{word}_" for word in words)
    files = [test for test in sorted(Path("tests").rglob("test_*.py")) if f"{test.stem}_".startswith(begin)]
    if not files:
        sys.exit(f"mutants: no tests of {file.name} are known; name them by --tests or in TESTS of {__file__}")
    return [str(test) for test in [*files, file.relative_to(Path.cwd())]]


def main() -> None:
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--tests", nargs="+", help="files of tests; default: by a table in this file")
    parser.add_argument("--sample", type=int, help="so many mutants, chosen by --seed")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--least", type=float, default=30, help="seconds that a mutant has beside those of its tests")
    parser.add_argument("--most", type=float, default=float("inf"), help="only the fastest tests, within these seconds")
    given = parser.parse_args()
    file, begun = given.file.resolve(), time.monotonic()
    tests = watched(file, given.tests or tests_of(file))
    source = file.read_text()
    made = mutants(source)
    if given.sample and given.sample < len(made):
        made = random.Random(given.seed).sample(made, given.sample)
        print(f"{given.sample} mutants of seed {given.seed}")
    print(f"{len(tests)} tests, {len(made)} mutants, {time.monotonic() - begun:.0f} s until now")
    begun = time.monotonic()
    original = Mutant(source, None)
    alive = survivors(file, [original, *made], tests, given.jobs, given.least, given.most)
    if original not in alive:
        sys.exit("mutants: the tests must pass before a mutant is made, here they fail after a fork")
    alive.remove(original)
    for mutant in sorted(alive, key=made.index):
        lines = (text.splitlines() for text in (source, mutant.source))
        print(*difflib.unified_diff(*lines, str(given.file), "mutant", lineterm="", n=1), sep="\n")
    killed, took = len(made) - len(alive), time.monotonic() - begun
    print(f"{killed} of {len(made)} mutants killed, {killed / len(made):.1%}; {took / len(made):.1f} s each")


if __name__ == "__main__":
    main()
