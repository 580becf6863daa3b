"""What the report reads: any mix of what the scripts leave, and what is wrong with the rest."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from regtorch.app.ground.folders import ASIDE
from regtorch.app.report.collect import Collected, collect
from report_runs import a_checkup, a_failed_run, a_grid, a_path, a_run, a_search


def counts(found: Collected) -> tuple[int, int, int, int, int]:
    return len(found.entries), len(found.searches), len(found.lost), len(found.diagnoses), len(found.unreadable)


def test_any_mix_is_read(tmp_path: Path):
    a_run(tmp_path / "runs" / "cnn-l2" / "one", "reg=l2")
    a_grid(tmp_path / "sweeps" / "a", ["l1"], [1e-3, 1e-2], [0, 1])
    a_path(tmp_path / "paths" / "p", [1e-4, 1e-2], [0, 1], diverged=[3])
    a_search(tmp_path / "searches" / "s", 7)
    a_failed_run(tmp_path / "runs" / "failed", "out of memory: lower data.batch_size", "reg=l1")
    a_checkup(tmp_path / "checkups" / "c")
    found = collect(tmp_path)
    assert counts(found) == (1 + 4 + 3 + 5, 1, 3, 1, 0)
    assert [(lost.name, lost.reason) for lost in found.lost] == [
        ("paths/p, member 3", "diverged: train/loss became nan in epoch 2"),
        ("runs/failed", "out of memory: lower data.batch_size"),
        ("searches/s, trial 6", "train/loss became nan in epoch 1"),
    ]
    [member] = [entry for entry in found.entries if entry.name == "paths/p, member 2"]
    assert (member.along, member.seed) == ({"reg.lam": 1e-2}, 0)
    assert member.run.record.regularized.norm == pytest.approx(1 / 0.11)
    assert member.run.epochs["val/accuracy"][10] == member.run.final("val/accuracy")
    assert member.run.overrides == ["model=mnist_mlp", "reg=l1", "reg.lam=0.01", "seed=0"]


@pytest.mark.parametrize("inside", [".", "sweeps", "sweeps/a"])
def test_a_part_of_it_may_be_named(tmp_path: Path, inside: str):
    a_grid(tmp_path / "sweeps" / "a", ["l1"], [1e-3], [0])
    [entry] = collect(tmp_path / inside).entries
    assert (tmp_path / inside / entry.name).samefile(tmp_path / "sweeps" / "a" / "0")


def test_a_run_s_own_folder_may_be_named(tmp_path: Path):
    [entry] = collect(a_run(tmp_path / "run", "reg=l2")).entries
    assert entry.name == "."


def cut(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / name).read_text()
        (folder / name).write_text(text[: len(text) // 2])

    return change


def put(name: str, text: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_bytes(text.encode("latin-1"))

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (cut("summary.json"), "broken/summary.json: expected JSON"),
        (put("summary.json", "[]"), "broken/summary.json: expected the summary of a run"),
        (put("summary.json", ""), "broken/summary.json: expected JSON"),
        (put("csv/metrics.csv", "epoch,val/loss\n0,1,2\n"), "broken/csv/metrics.csv: line 2: expected 2 columns"),
        (put("csv/metrics.csv", "epoch,val/loss\nx,1\n"), "broken/csv/metrics.csv: line 2"),
        (put("csv/metrics.csv", "\xff\n"), "broken/csv/metrics.csv: line 1"),
        (put(".hydra/overrides.yaml", "- [\n"), "broken/.hydra/overrides.yaml: expected a list"),
        (put(".hydra/overrides.yaml", "- nonsense\n"), "broken/.hydra/overrides.yaml: expected group=option"),
    ],
)
def test_a_run_that_cannot_be_read_is_named_and_the_others_are_shown(
    tmp_path: Path, change: Callable[[Path], None], said: str
):
    a_run(tmp_path / "whole", "reg=l2")
    change(a_run(tmp_path / "broken", "reg=l2"))
    found = collect(tmp_path)
    assert [entry.name for entry in found.entries] == ["whole"]
    [line] = found.unreadable
    assert line.startswith(said)


@pytest.mark.parametrize(
    ("make", "change", "said"),
    [
        (lambda f: a_path(f, [1e-3], [0]), cut("path.csv"), "broken/path.csv: line "),
        (
            lambda f: a_path(f, [1e-3], [0]),
            put("path.csv", "a,b\n1,2\n"),
            "broken/path.csv: line 1: expected a column 'epoch'",
        ),
        (
            lambda f: a_path(f, [1e-3], [0]),
            put("path.csv", "epoch,val/loss\n1,2\n"),
            "broken/path.csv: line 1: expected a column 'member'",
        ),
        (
            lambda f: a_path(f, [1e-3], [0]),
            put("path.csv", "member,epoch,val/loss\n0,0,2\n"),
            "broken/path.csv: line 2: epoch: expected 1, 2, …, received '0'",
        ),
        (lambda f: a_path(f, [1e-3], [0]), lambda f: (f / "path.csv").unlink(), "broken/path.csv: No such file"),
        (lambda f: a_search(f, 3), cut("search.json"), "broken/search.json: expected JSON"),
        (
            lambda f: a_search(f, 3),
            put("search.json", "{}"),
            "broken/search.json: expected the record of a search, with its plan",
        ),
        (
            lambda f: a_search(f, 3),
            put("search.json", "[1]"),
            "broken/search.json: expected the record of a search, with its plan",
        ),
        (lambda f: a_search(f, 3), cut("trials/1/summary.json"), "broken/trials/1/summary.json: expected JSON"),
        (lambda f: a_checkup(f), put("doctor.json", "{}"), "broken/doctor.json: expected a doctor.json with"),
        (lambda f: a_checkup(f), cut("doctor.json"), "broken/doctor.json: expected JSON"),
    ],
)
def test_so_are_paths_searches_and_check_ups(
    tmp_path: Path, make: Callable[[Path], Path], change: Callable[[Path], object], said: str
):
    a_run(tmp_path / "whole", "reg=l2")
    change(make(tmp_path / "broken"))
    found = collect(tmp_path)
    assert "whole" in [entry.name for entry in found.entries]
    [line] = found.unreadable
    assert line.startswith(said)


def test_a_last_line_that_was_being_written_is_no_error(tmp_path: Path):
    folder = a_run(tmp_path / "run", "reg=l2")
    with (folder / "csv" / "metrics.csv").open("a") as file:
        file.write("10,0.")
    [entry] = collect(tmp_path).entries
    assert list(entry.run.epochs["val/accuracy"]) == list(range(1, 11))


def test_what_has_not_finished_is_told_apart_from_what_failed(tmp_path: Path):
    (a_run(tmp_path / "killed", "reg=l2", "hydra.run.dir=x") / "summary.json").unlink()
    a_failed_run(tmp_path / "failed", "", "reg=l1").joinpath("error.txt").write_text("")
    searched = a_search(tmp_path / "search", 5)
    (searched / "search.json").unlink()
    (searched / "journal.log").touch()
    found = collect(tmp_path)
    assert [(lost.name, lost.what, lost.finished) for lost in found.lost] == [
        ("failed", "reg=l1", True),
        ("killed", "reg=l2", False),
        ("search", "", False),
    ]
    assert "the same command continues it" in found.lost[2].reason
    assert not found.entries
    assert not found.unreadable


def test_what_was_moved_aside_is_told_only_where_nothing_took_its_place(tmp_path: Path):
    a_run(tmp_path / "0", "reg=l2")
    a_failed_run(tmp_path / f"0{ASIDE}1", "out of memory", "reg=l2")
    a_failed_run(tmp_path / f"1{ASIDE}1", "out of memory", "reg=l1")
    (a_run(tmp_path / f"2{ASIDE}2", "reg=l1") / "summary.json").unlink()
    found = collect(tmp_path)
    assert [(lost.name, lost.reason, lost.finished) for lost in found.lost] == [
        (f"1{ASIDE}1", "out of memory", True),
        (f"2{ASIDE}2", "did not finish, and was moved aside", True),
    ]
    assert len(found.entries) == 1


def test_two_sweeps_in_one_folder(tmp_path: Path):
    a_grid(tmp_path, ["l1"], [1e-3], [0, 1])
    a_run(tmp_path / "2" / "0", "reg=l2", "seed=0")
    assert len(collect(tmp_path).entries) == 3


def test_a_folder_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    a_run(tmp_path / "whole", "reg=l2")
    a_run(tmp_path / "closed", "reg=l2")
    scan = os.scandir

    def refused(path: str) -> object:
        if path.endswith("closed"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refused)
    found = collect(tmp_path)
    assert len(found.entries) == 1
    assert found.unreadable == ["closed: Permission denied"]


def test_no_folder(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="file: expected a folder with runs, received a file"):
        collect(tmp_path / "file")
    with pytest.raises(ValueError, match="none: expected a folder with runs, received a missing path"):
        collect(tmp_path / "none")
    assert collect(tmp_path).empty
