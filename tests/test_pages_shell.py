"""Every shell block of the pages runs as it can be pasted, in a folder with small data; test_pages_run.py has the rest.

Words are appended only where a command would take minutes. What runs elsewhere, or nowhere here, says why.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pages
from document_runs import write_data
from image_files import encoded, write, write_jpegs
from pages import PAGES, SITE
from places import ROOT
from report_runs import a_grid, curve_of, table

pytestmark = pytest.mark.script

# What is not run here, and why: patterns of whole commands.
ELSEWHERE = {
    r"make .*": "sets up an environment from the network; .ci/run and the other tests run what it starts",
    r"pip install .*": "installs from the network; test_wheel.py installs the wheel",
    r".*hydra/launcher=(ray|submitit_slurm).*": "needs a cluster; tests/app/grid starts such jobs on this machine",
    r"sbatch .*": "needs a queue; tests/app/search starts such workers as processes",
    r"python scripts/bench\.py.*": "measures for minutes; tests/app/benchmark runs its parts",
    r".*python -m programs.*": "trains for an hour; tests/doctor runs a sample of it",
    r"python scripts/report\.py --documents.*": "trains for hours; tests/app/documents makes each run short",
    r".*reg=mcp.*": "needs the files of its page, whose own test writes and runs them",
}
# What is appended, by program, unless the command says it or trains what is small as it is.
SHORT = {
    "train": ["trainer.max_epochs=1", "trainer.limit_train_batches=2", "trainer.limit_val_batches=1"],
    "path": ["trainer.max_epochs=1"],
    "search": ["trainer.max_epochs=1", "trainer.limit_train_batches=2"],
    "doctor": ["seconds=10"],
}
FAST = [r"python -m regtorch\.conventions .*", r"regtorch train data=(folder|csv) .*"]
_PROGRAM = re.compile(r"(?:python scripts/|regtorch )(train|path|search|doctor|report|demo)\b")
# Hours of training: tests/app/documents composes each of its settings, and tests/app/run/saves trains their nets.
NOT_HERE = {SITE / "documents.md"}
BLOCKS = [
    (page, number) for page in PAGES if page not in NOT_HERE for number, block in enumerate(pages.shell(page)) if block
]


def elsewhere(command: str) -> bool:
    return any(re.fullmatch(pattern, command, re.DOTALL) for pattern in ELSEWHERE)


def here(page: Path, number: int) -> list[str]:
    return [command for command in pages.shell(page)[number] if not elsewhere(command)]


def is_fast(commands: list[str]) -> bool:
    return all(any(re.match(pattern, command) for pattern in FAST) for command in commands)


def parameters() -> Iterator[Any]:
    for page, number in BLOCKS:
        if commands := here(page, number):
            marks = [] if is_fast(commands) else [pytest.mark.slow]
            yield pytest.param(page, number, id=f"{page.relative_to(ROOT)}-{number}", marks=marks)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages take for granted: data sets, images and a table of one's own, and a log."""
    folder = tmp_path_factory.mktemp("shell")
    write_data(folder / "data")
    write_jpegs(folder / "data" / "cifar10-jpeg.tar.gz")
    for kind in ("cats", "goats"):
        images = {f"{kind}/{number}.jpg": encoded(number + 50 * len(kind), 24, 32, "JPEG") for number in range(12)}
        write(folder / "photos", images)
    rows = "".join(f"{n},{n % 7},{'old' if n % 3 else 'new'},{100 + 5 * n + n % 7}\n" for n in range(60))
    (folder / "table.csv").write_text(f"size,rooms,state,price\n{rows}")
    (folder / "metrics.csv").write_text(table(curve_of(1e-3, 0, 20)))
    return folder


@pytest.fixture
def folder(data: Path, tmp_path: Path) -> Path:
    """A checkout with these data and a sweep, in which `python` and `regtorch` are this interpreter's."""
    for path in data.iterdir():
        (tmp_path / path.name).symlink_to(path)
    for name in ("scripts", "conf"):
        (tmp_path / name).symlink_to(ROOT / name)
    a_grid(tmp_path / "sweeps" / "2026-01-31_12-00-00-000000", ["l1", "l2"], [1e-4, 1e-3], [0])
    for name, words in (("python", ""), ("regtorch", "-m regtorch ")):
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {words}"$@"\n')
        path.chmod(0o755)
    return tmp_path


def shortened(command: str) -> str:
    """A command with what keeps it from taking minutes."""
    found = _PROGRAM.match(command)
    if found is None or "history=" in command:
        return command
    words = shlex.split(command, comments=True)
    given = {word.lstrip("+").partition("=")[0] for word in words}
    more = [word for word in SHORT.get(found[1], []) if word.partition("=")[0] not in given]
    if re.search(r"(data|experiment)=(not)?mnist", command):
        more.append("data.val_size=100")  # of 300 samples
    if "experiment=notmnist_small" in command:  # of 500 samples, and validated after 50 epochs
        more += ["data.limit=200", "trainer.check_val_every_n_epoch=1"]
    return shlex.join(["python" if word == "python" else word for word in [*words, *more]])


def run(command: str, folder: Path) -> tuple[int, str]:
    """The exit code of a command, and what it printed; a page that is served is read and ended."""
    environment = {**os.environ, "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "120"}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), environment.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        ["bash", "-c", command if "\n" in command else f"exec {command}"],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # tests in the background ignore it
    )
    assert process.stdout is not None
    if "--serve" in command:
        assert process.stdout.readline().startswith("following ")
        process.send_signal(signal.SIGINT)
    out, _ = process.communicate()
    return process.returncode, out


@pytest.mark.parametrize(("page", "number"), [*parameters()])
def test_it_runs_as_pasted(page: Path, number: int, folder: Path):
    for command in here(page, number):
        code, out = run(shortened(command), folder)
        # A doctor ends with 3 where it has found something severe, a page that is served with Ctrl-C's 130.
        allowed = {130} if "--serve" in command else {0, 3} if re.match(r"\S+ (scripts/)?doctor", command) else {0}
        assert code in allowed, f"{command}\n{out[-3000:]}"


def test_all_that_runs_elsewhere_is_on_a_page():
    commands = [command for page, number in BLOCKS for command in pages.shell(page)[number]]
    unused = [p for p in ELSEWHERE if not any(re.fullmatch(p, command, re.DOTALL) for command in commands)]
    assert unused == []
