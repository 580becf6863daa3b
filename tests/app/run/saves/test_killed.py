"""Forty SIGKILLs at random moments: each killed run, resumed until it has finished, is the run that was not killed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from os import kill
from pathlib import Path
from random import Random
from signal import SIGKILL
from tempfile import TemporaryDirectory
from time import sleep
from typing import Any

import pytest

from document_runs import DOCUMENT_RUNS, DocumentRun, write_data
from processes import Program
from same_runs import assert_same, tables_of

pytestmark = [pytest.mark.script, pytest.mark.slow]
KILLS = {"path": 4}  # 2 for each other run
SEARCH_KILLS = ("all", "all", "all", "workers")
ELSEWHERE = ("cnn", "cifar_shallow", "srivastava", "rps", "two_class_mlp", "sentiment", "path of rates")
"""Runs on another file system than that of temporary files."""
MOVED = ("mnist_mlp", "notmnist_mlp", "six_class", "distance", "path")
"""Runs that are moved to the other file system after each kill."""


def kills(run: DocumentRun) -> int:
    return KILLS.get(run.name, 2)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system at /dev/shm")
    with TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


def place_of(run: DocumentRun, folder: Path) -> str:
    return f"hydra.sweep.dir={folder}" if run.words[0] == "-m" else f"hydra.run.dir={folder}"


@pytest.mark.parametrize("run", DOCUMENT_RUNS, ids=lambda run: run.name)
def test_a_killed_run_is_the_run_that_was_not(
    run: DocumentRun, data: Path, tmp_path: Path, request: pytest.FixtureRequest
):
    other = request.getfixturevalue("elsewhere") if run.name in (*ELSEWHERE, *MOVED) else tmp_path
    program, draw = Program(tmp_path, tmp_path / "log.txt"), Random(run.name)
    words = (run.program, *run.words, "trainer=cpu", f"data.dir={data}")
    seconds = program(*words, place_of(run, other / "whole"))
    killed, number = 0, 0
    while killed < kills(run):
        number += 1
        folder, begun = other / f"killed{number}", False
        while True:
            begun = begun or (folder / "multirun.yaml").is_file() or (folder / "saves").is_dir()
            resumed = [run.program, f"resume={folder}"] if begun else [*words, place_of(run, folder), *again(run)]
            if killed == kills(run):
                program(*resumed)
                break
            if not program.is_killed(program.start(*resumed), draw.uniform(0.05, 0.95) * seconds):
                seconds *= 0.8  # the one that was measured began with cold caches
                break
            killed += 1
            if run.name in MOVED and folder.exists():
                folder = Path(shutil.move(folder, (tmp_path if folder.parent == other else other) / folder.name))
        for one in sorted((other / "whole").rglob("summary.json")):
            assert_same(one.parent, folder / one.parent.relative_to(other / "whole"))
        assert not list(folder.rglob("*.part"))
        assert not list(folder.rglob("saves"))


def again(run: DocumentRun) -> list[str]:
    """What begins a run or goes on with one that left no save; a sweep goes on by its own command."""
    return [] if run.words[0] == "-m" else ["resume=true"]


def workers_of(process: int) -> list[int]:
    """The processes that a search has started."""
    with suppress(OSError):
        return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    return []


def trials_of(folder: Path) -> dict[str, Any]:
    """What a search has found, by the parameters of its trials."""
    trials = json.loads((folder / "search.json").read_text())["trials"]
    kept = ("state", "value", "loss", "by_epoch")
    return {str(t["parameters"]): ({n: t[n] for n in kept}, tables_of(Path(t["folder"]))) for t in trials}


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="the processes of a search are looked up in /proc")
def test_a_killed_search_finds_what_the_other_found(data: Path, tmp_path: Path):
    program, draw = Program(tmp_path, tmp_path / "log.txt"), Random("search")
    found = ("search.trials=5", "search.sampler=random", "search.pruner=none")  # whatever the order of the trials
    words = ("search", "experiment=mnist_sigmoid_l2", "trainer=cpu", "trainer.max_epochs=4", *found)
    words = (*words, f"data.dir={data}", "data.val_size=100", "data.batch_size=20", "save_every=2")
    program(*words, f"hydra.run.dir={tmp_path / 'whole'}")
    folder = tmp_path / "killed"
    for whom in SEARCH_KILLS:
        process = program.start(*words, f"hydra.run.dir={folder}")
        workers = wait_for_a_trial(folder, process.pid or 0)
        sleep(draw.uniform(0, 1.2))
        assert process.exitcode is None
        if whom == "all":
            process.kill()
        for worker in workers:
            kill(worker, SIGKILL)
        process.join()
        assert process.exitcode == (-SIGKILL if whom == "all" else 0)
    program(*words, f"hydra.run.dir={folder}")
    assert trials_of(tmp_path / "whole") == trials_of(folder)


def wait_for_a_trial(folder: Path, process: int) -> list[int]:
    """Wait until a worker trains; the workers."""
    before = set(folder.glob("trials/*"))
    while set(folder.glob("trials/*")) == before:
        sleep(0.05)
        assert Path(f"/proc/{process}").is_dir()
    return workers_of(process)


def test_they_are_forty():
    assert sum(map(kills, DOCUMENT_RUNS)) + len(SEARCH_KILLS) == 40
