"""A refused start leaves a folder that belongs to another run, path, diagnosis, sweep or search as it is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from command_line import FAST, ROOT
from regtorch.app import cli
from report_runs import a_path, a_run, a_search

pytestmark = pytest.mark.script


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


class Start:
    """Starts a program in an empty folder, without training anything."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        monkeypatch.chdir(folder)
        monkeypatch.setattr("regtorch.app.search.conduct.search", lambda *_: True)

    def __call__(self, program: str, *words: str) -> int:
        self.monkeypatch.setattr(sys, "argv", [f"{program}.py", *FAST, *words])
        return cli.run(program, ROOT / "conf")


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    return Start(tmp_path, monkeypatch)


@pytest.mark.parametrize("wrong", ["reg.lam=-1", "reg.lam=1e-3"])
@pytest.mark.parametrize("program", ["train", "path", "doctor"])
def test_the_folder_of_a_run_or_a_path(program: str, wrong: str, start: Start, tmp_path: Path):
    """Also of one whose command line would be right."""
    folder = a_run(tmp_path / "there") if program == "train" else a_path(tmp_path / "there", [0.1], [0])
    before = contents(folder)
    assert start(program, "reg=l2", wrong, "hydra.run.dir=there") == 2
    assert contents(folder) == before


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "wrong",
    [
        ("search.trials=0",),
        ("search.pruner=medain",),
        ("search.monitor=val/task_loss",),  # another search
        ("-m", "hydra.sweep.dir=searches/done"),
        *(
            pytest.param(wrong, marks=pytest.mark.slow)
            for wrong in [
                ("search.also={reg: [l1, l3]}",),
                ("search.worker=true", "search.storage=sqlite:////no/such/folder/a.db"),
                ("+nonsense=1",),
                ("-m",),
            ]
        ),
    ],
)
def test_the_folder_of_a_search(
    wrong: tuple[str, ...], start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    mine = ("reg=l2", "search.name=done")
    folder = tmp_path / "searches" / "done"
    assert start("search", *mine, "search.trials=2") == 0
    a_search(folder, 2)
    before = contents(folder)
    assert "journal.log" in before
    assert ".hydra/overrides.yaml" in before
    capsys.readouterr()
    assert start("search", *mine, *wrong) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert contents(folder) == before


def test_a_search_elsewhere_is_refused_without_a_journal_here(start: Start, tmp_path: Path):
    folder = a_search(tmp_path / "searches" / "done", 2)  # its trials lay in a database
    before = contents(folder)
    assert start("search", "reg=l2", "search.name=done", "search.trials=0") == 2
    assert {name for name in contents(folder) if not name.startswith(".hydra")} == set(before)


def test_a_refused_start_of_a_new_search_says_why_in_its_folder(start: Start, tmp_path: Path):
    for trials in ("0", "-1"):
        assert start("search", "reg=l2", "search.name=new", f"search.trials={trials}") == 2
        assert f"received {trials}" in (tmp_path / "searches" / "new" / "error.txt").read_text()


def test_the_folder_of_a_sweep(start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    a_run(tmp_path / "mine" / "0")
    (tmp_path / "mine" / "multirun.yaml").write_text("its own\n")
    before = contents(tmp_path / "mine")
    sweep = ("-m", "reg=l2", "reg.lam=1e-3,1e-2", "hydra.sweep.dir=mine")
    assert start("train", *sweep, "hydra.sweep.subdir=0") == 2
    assert "belongs to other settings" in capsys.readouterr().err
    assert contents(tmp_path / "mine") == before
    assert start("train", *sweep, "reg=l3") == 2
    assert contents(tmp_path / "mine") == before
