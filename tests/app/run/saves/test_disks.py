"""A full disk, a read-only one and a folder that vanishes lose nothing that was saved, and nothing is half-written."""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from command_line import CommandLine
from lightning import Trainer
from regtorch.app.ground.atomic import write_text
from regtorch.app.path.main import main as path_main
from regtorch.app.path.path_saves import PathSaves
from regtorch.app.run.csv_logger import CSVLogger
from regtorch.app.run.saves.saver import Saver
from regtorch.app.search.book import Book
from regtorch.app.search.plan import Plan
from regtorch.app.search.storage import open_store
from regtorch.app.search.worker import work
from same_runs import assert_same, tables_of

pytestmark = pytest.mark.script
SHORT = ("model=mnist_mlp", "reg=l2", "trainer=cpu", "trainer.max_epochs=3", "trainer.limit_train_batches=5")
SMALL = (*SHORT, "save_every=1", "trainer.log_every_n_steps=2")
PATH = (*SMALL, "path.lams=[0,1e-3]")
Event = Callable[[], object]


def mounted(folder: Path, *words: str) -> None:
    done = subprocess.run(["mount", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"only root may mount {folder}: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted(folder, "-t", "tmpfs", "-o", "size=8m", "none", str(folder))
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> None:
    """Take all space but some bytes."""
    with (disk / "ballast").open("wb", buffering=0) as file:
        while os.statvfs(disk).f_bavail:
            file.write(bytes(4096))


def empty(disk: Path) -> None:
    (disk / "ballast").unlink()


@contextmanager
def happening(events: Mapping[int, Event]) -> Iterator[None]:
    """Do something at the first rest after so many steps, before a save is written."""
    left = dict(events)

    def meet(step: int) -> None:
        for due in [number for number in left if number <= step]:
            left.pop(due)()

    train, path = Saver._at_rest, PathSaves.at_rest

    def at_rest(self: Saver, trainer: Trainer, *, within: bool = False) -> None:
        meet(trainer.global_step)
        train(self, trainer, within=within)

    def path_at_rest(self: PathSaves) -> None:
        trainer = self._work.trainer
        meet(self._work.steps + (0 if trainer is None else trainer.steps))
        path(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Saver, "_at_rest", at_rest)
        patch.setattr(PathSaves, "at_rest", path_at_rest)
        yield
    assert not left


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capfd)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capfd, path_main, "paths")


def assert_intact(folder: Path) -> None:
    """Nothing is half-written, and nothing looks finished."""
    assert not list(folder.rglob("*.part"))
    assert not (folder / "summary.json").exists()
    for table in folder.rglob("*.csv"):
        first, *rows = list(csv.reader(table.read_text().splitlines()))
        assert {len(row) for row in rows} <= {len(first)}


def test_a_disk_that_is_full_for_a_while_stops_no_training(train: CommandLine, disk: Path):
    events = {6: lambda: fill(disk), 9: lambda: empty(disk)}
    with happening(events):
        result = train(*SMALL, "logger=csv", f"hydra.run.dir={disk / 'run'}", fast=False)
    assert result.code == 0
    steps = [line for line in result.err.splitlines() if "could not be saved" in line]
    assert [line.split()[2] for line in steps] == ["6", "7", "8"]
    assert all("No space left on device" in line for line in steps)
    assert train(*SMALL, "logger=csv", "hydra.run.dir=whole", fast=False).code == 0
    assert_same(train.folder / "whole", disk / "run")


@pytest.mark.parametrize("step", [pytest.param(3, marks=pytest.mark.slow), 6, pytest.param(9, marks=pytest.mark.slow)])
def test_a_run_that_a_full_disk_ends_goes_on(step: int, train: CommandLine, disk: Path):
    with happening({step: lambda: fill(disk)}):
        result = train(*SMALL, f"hydra.run.dir={disk / 'run'}", fast=False)
    assert result.code == 1
    *before, error = result.err.strip().splitlines()
    assert error.startswith("error: ")
    assert "no space left on device; free some space, or name another place" in error
    assert all(line.startswith(("warning: step", "note: saved after step")) for line in before)
    assert_intact(disk / "run")
    empty(disk)
    resumed = train(f"resume={disk / 'run'}", fast=False)
    assert (resumed.code, resumed.err) == (0, "")
    assert f"resumed after step {step - 1}," in resumed.out
    assert train(*SMALL, "hydra.run.dir=whole", fast=False).code == 0
    assert_same(train.folder / "whole", disk / "run")


@pytest.mark.slow
def test_a_path_that_a_full_disk_ends_goes_on(path: CommandLine, disk: Path):
    with happening({6: lambda: fill(disk)}):
        result = path(*PATH, f"hydra.run.dir={disk / 'run'}", fast=False)
    assert result.code == 1
    assert "no space left on device; free some space" in result.err.strip().splitlines()[-1]
    assert result.err.count("could not be saved") > 5
    assert_intact(disk / "run")
    empty(disk)
    resumed = path(f"resume={disk / 'run'}", fast=False)
    assert (resumed.code, resumed.err) == (0, "")
    assert path(*PATH, "hydra.run.dir=whole", fast=False).code == 0
    assert tables_of(path.folder / "whole") == tables_of(disk / "run")


@contextmanager
def read_only(*folders: Path) -> Iterator[None]:
    """Folders into which not even root may write."""
    bound: list[Path] = []
    try:
        for folder in folders:
            mounted(folder, "--bind", str(folder), str(folder))
            bound.append(folder)
            mounted(folder, "-o", "remount,bind,ro", str(folder))
        yield
    finally:
        for folder in bound:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.sampled(1)
@pytest.mark.parametrize(("program", "places"), [("train", ("run/saves", "run/checkpoints")), ("path", ("run",))])
def test_a_run_whose_folder_becomes_read_only_goes_on(
    program: str, places: tuple[str, ...], train: CommandLine, path: CommandLine, tmp_path: Path
):
    run, words = (train, SMALL) if program == "train" else (path, PATH)
    with ExitStack() as locked:
        lock = read_only(*(tmp_path / place for place in places))
        with happening({6: lambda: locked.enter_context(lock)}):
            result = run(*words, f"hydra.run.dir={tmp_path / 'run'}", fast=False)
        assert result.code == 1
        assert "read-only file system; name another place" in result.err.strip().splitlines()[-1]
        assert "step 6 could not be saved (Read-only file system); training goes on" in result.err
        assert_intact(tmp_path / "run")
    resumed = run("resume=run", fast=False)
    assert (resumed.code, resumed.err) == (0, "")
    assert "resumed after step 5," in resumed.out
    assert run(*words, "hydra.run.dir=whole", fast=False).code == 0
    assert tables_of(tmp_path / "whole") == tables_of(tmp_path / "run")


def test_a_run_whose_folder_was_renamed_ends_and_goes_on_there(train: CommandLine, tmp_path: Path):
    words, folder = (*SMALL, "logger=csv"), tmp_path / "run"
    with happening({6: lambda: folder.rename(tmp_path / "renamed")}):
        result = train(*words, f"hydra.run.dir={folder}", fast=False)
    assert result.code == 1
    assert "step 6 could not be saved" in result.err
    assert "metrics.csv: no such file or directory" in result.err.strip().splitlines()[-1]
    assert not (folder / "saves").exists()
    assert_intact(folder)
    resumed = train("resume=renamed", fast=False)
    assert (resumed.code, resumed.err) == (0, "")
    assert "resumed after step 5," in resumed.out
    assert train(*words, "hydra.run.dir=whole", fast=False).code == 0
    assert_same(tmp_path / "whole", tmp_path / "renamed")


def test_a_run_without_its_checkpoint_is_not_finished(
    train: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from regtorch.app.run import job

    folder, test = tmp_path / "run", job._test

    def removed(*arguments: Any) -> dict[str, float]:
        shutil.rmtree(folder, ignore_errors=True)
        return test(*arguments)

    monkeypatch.setattr(job, "_test", removed)
    result = train(*SHORT, "logger=none", f"hydra.run.dir={folder}", fast=False)
    assert result.code == 1
    assert "checkpoints/best.ckpt" in result.error
    assert_intact(folder)


def test_a_removed_folder_of_a_path_is_written_anew(path: CommandLine, tmp_path: Path):
    folder = tmp_path / "run"
    with happening({6: lambda: shutil.rmtree(folder)}):
        result = path(*PATH, f"hydra.run.dir={folder}", fast=False)
    assert result.code == 0
    assert "step 6 could not be saved" in result.err
    assert json.loads((folder / "summary.json").read_text())["epochs"] == 3


def test_rows_that_found_no_space_are_written_later(disk: Path):
    table = CSVLogger(str(disk), name="", version="", flush_logs_every_n_steps=10**6)
    for step in range(3):
        table.log_metrics({"loss": float(step)}, step)
    table.save()
    before = (disk / "metrics.csv").read_bytes()
    table.log_metrics({"loss": 3.0}, 3)
    table.log_metrics({"loss": 1.0 / 3, "accuracy": 0.5}, 4)
    fill(disk)
    with pytest.raises(OSError, match="No space left"):
        table.save()
    assert (disk / "metrics.csv").read_bytes() == before
    empty(disk)
    table.save()
    for step in range(5, 400):
        table.log_metrics({"loss": float(step), "accuracy": 0.5}, step)
    table.save()
    whole = (disk / "metrics.csv").read_bytes()
    assert table.experiment.rows == 400
    for step in range(400, 1000):
        table.log_metrics({"loss": float(step), "accuracy": 0.5}, step)
    fill(disk)
    with pytest.raises(OSError, match="No space left"):
        table.save()
    assert (disk / "metrics.csv").read_bytes() == whole
    empty(disk)
    table.save()
    rows = list(csv.DictReader((disk / "metrics.csv").read_text().splitlines()))
    assert [int(row["step"]) for row in rows] == list(range(1000))
    assert table.experiment.rows == 1000


def test_a_trial_that_found_no_space_is_tried_again(tmp_path: Path):
    plan = Plan(["reg=l2"], {"reg.lam": "log:1e-6:1"}, "val/task_loss", False, "tpe", "median", 0, 5, str(tmp_path))
    book = Book.start(open_store(None, tmp_path), "search", plan, 2)

    def full(_: Any) -> float:
        raise OSError(errno.ENOSPC, "No space left on device", "saves")

    with pytest.raises(OSError, match="No space left"):
        work(book, full)
    assert book.counts() == {"waiting": 2}
    work(book, lambda _: 1.0)
    assert book.counts() == {"complete": 2}


def test_a_journal_survives_a_full_disk(disk: Path):
    plan = Plan(["reg=l2"], {"reg.lam": "log:1e-6:1"}, "val/task_loss", False, "tpe", "median", 0, 5, str(disk))
    Book.start(open_store(None, disk), "search", plan, 3)

    def filled(_: Any) -> float:
        fill(disk)
        write_text(disk / "notes", "x" * 5000)
        return 1.0

    with pytest.raises(OSError, match="No space left"):
        work(Book.join(open_store(None, disk), "search"), filled)
    empty(disk)
    book = Book.start(open_store(None, disk), "search", plan, 3)
    assert book.counts() == {"waiting": 3}
    work(book, lambda _: 1.0)
    assert book.counts() == {"complete": 3}
