"""`regtorch demo`: two trainings, a diagnosis between them and a page, all as the programs leave them."""

from __future__ import annotations

import errno
import os
import re
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

import regtorch.app.run.job as job
from regtorch.app import demo
from regtorch.app.ground.errors import Failed
from regtorch.app.record.command import INSTALLED
from regtorch.app.record.json_file import read_json, write_json
from regtorch.app.record.outputs import read_diagnosis
from regtorch.app.record.overrides import measured, read_overrides
from regtorch.app.record.results import Run, read_run
from regtorch.app.report.collect import collect

pytestmark = pytest.mark.script

NARROW = 60


@dataclass(frozen=True)
class Shown:
    """A demo that has run: what it printed, and its folder."""

    code: int
    out: str
    err: str
    folder: Path
    threads: int  # of torch, before

    def run(self, name: str) -> Run:
        run = read_run(self.folder / name)
        assert run is not None
        return run

    @property
    def flat(self) -> str:
        """The output without its line breaks."""
        return " ".join(self.out.split())

    @property
    def commands(self) -> list[list[str]]:
        """The commands that it shows, as a shell reads them."""
        joined = self.out.replace("\\\n", " ")
        return [shlex.split(line[2:]) for line in joined.splitlines() if line.startswith("$ ")]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """A demo of two epochs in a terminal of 60 columns."""
    folder, threads = tmp_path_factory.mktemp("demo"), torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("COLUMNS", str(NARROW))
        patch.setenv(INSTALLED, "regtorch demo")
        patch.setattr(sys, "argv", ["regtorch"])
        out, err = folder / "out.txt", folder / "err.txt"
        with out.open("w") as told, err.open("w") as said, redirect_stdout(told), redirect_stderr(said):
            code = demo.main(epochs=2)
    return Shown(code, out.read_text(), err.read_text(), folder / "demo", threads)


def test_the_penalty_breaks_the_net_and_the_change_of_the_doctor_cures_it(shown: Shown):
    assert (shown.code, shown.err) == (0, "")
    before, after = (shown.run(name).final("val/accuracy") for name in ("before", "after"))
    assert before is not None
    assert after is not None
    assert before < 0.3
    assert after > 0.6


def test_the_second_training_differs_by_the_first_findings_override_alone(shown: Shown):
    first = read_diagnosis(shown.folder / "doctor")["findings"][0]
    assert first["severity"] == "severe"
    before, after = (measured(read_overrides(shown.folder / name)) for name in ("before", "after"))
    changed = {key for key in before | after if before.get(key) != after.get(key)}
    assert changed == {first["override"].partition("=")[0]}
    assert f"reg.lam={after['reg.lam']}" == f"reg.lam={float(first['override'].partition('=')[2]):g}"


def test_it_says_what_the_files_say(shown: Shown):
    first = read_diagnosis(shown.folder / "doctor")["findings"][0]
    for text in (first["why"], first["change"], first["override"]):
        assert text in shown.flat
    for run in (shown.run("before"), shown.run("after")):
        for metric in ("train/accuracy", "val/accuracy", "test/accuracy"):
            assert f"{run.record.final[metric]:.3f}" in shown.out
        assert f"{run.record.regularized.norm:.3g}" in shown.out
    assert "one of 10 classes" in shown.flat
    assert "0.100" in shown.flat


def test_its_commands_are_those_of_the_runs(shown: Shown):
    commands = [words[:2] for words in shown.commands]
    assert commands == [["regtorch", name] for name in ("train", "doctor", "train", "report")]
    for (_, _, *words), name in zip(shown.commands, ("before", "doctor", "after"), strict=False):
        assert words[-1] == f"hydra.run.dir=demo/{name}"
        assert words[:-1] == read_overrides(shown.folder / name)


def test_the_folder_is_one_of_runs_with_their_pages(shown: Shown):
    found = collect(shown.folder)
    assert sorted(entry.name for entry in found.entries) == ["after", "before"]
    assert [diagnosis.name for diagnosis in found.diagnoses] == ["doctor"]
    assert (found.lost, found.unreadable) == ([], [])
    for page in ("report.html", "doctor/doctor.html"):
        assert f"demo/{page}" in shown.out
        assert (shown.folder / page).is_file()


def test_lines_fit_a_narrow_terminal_and_nothing_is_cut(shown: Shown):
    lines = shown.out.splitlines()
    assert max(map(len, lines)) <= NARROW, max(lines, key=len)
    assert "…" not in shown.out


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_what_it_prints_fits_the_terminal(
    columns: int, shown: Shown, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv(INSTALLED, "regtorch demo")
    monkeypatch.chdir(shown.folder.parent)
    words = read_overrides(shown.folder / "before")
    demo.print_command("train", words)
    demo.print_training(shown.run("before"))
    demo.print_finding(demo.first_change(Path("demo/doctor")))
    demo.print_comparison(shown.run("before"), shown.run("after"), ["reg.lam=1e-3"])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    commands = sum(line.endswith("\\") for line in lines)
    assert commands == {60: 2, 80: 1, 120: 1}[columns]


# Folders


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["regtorch"])
    monkeypatch.setenv(INSTALLED, "regtorch demo")
    return tmp_path


def test_a_folder_that_holds_something_is_left_alone(here: Path):
    assert demo.new_folder() == Path("demo")
    assert demo.new_folder() == Path("demo")  # still empty
    (here / "demo" / "mine.txt").touch()
    (here / "demo-2").write_text("a file")
    assert demo.new_folder() == Path("demo-3")


def test_a_place_where_nothing_can_be_written_is_named(here: Path, capfd: pytest.CaptureFixture[str]):
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "demo")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "mkdir", refuse)
        assert demo.main() == 2
    assert capfd.readouterr() == ("", "error: demo: permission denied; name another place\n")


# Ends


@pytest.fixture
def asked_as_from_a_terminal() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background would ignore it
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("asked_as_from_a_terminal")
def test_ctrl_c_in_a_training_ends_the_demo(
    here: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    def interrupted(*_: Any, **__: Any) -> None:
        print("what the program printed")
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(job, "train", interrupted)
    assert demo.main() == 130
    out, err = capfd.readouterr()
    assert err == "error: interrupted\nnote: what the demo has written is in demo; regtorch demo starts anew\n"
    assert "what the program printed" not in out
    assert "regtorch doctor" not in out
    assert sys.argv == ["regtorch"]


@pytest.mark.usefixtures("asked_as_from_a_terminal")
def test_ctrl_c_between_the_programs_ends_the_demo(
    here: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(demo, "new_folder", lambda: os.kill(os.getpid(), signal.SIGINT))
    assert demo.main() == 130
    assert capfd.readouterr().err == "error: interrupted\n"


def test_a_full_disk_ends_the_demo_with_the_programs_message(
    here: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    def full(*_: Any, **__: Any) -> None:
        print("what the program printed")
        raise OSError(errno.ENOSPC, "No space left on device", "receipt.txt")

    monkeypatch.setattr(job, "train", full)
    assert demo.main() == 1
    out, err = capfd.readouterr()
    assert "what the program printed" in out
    assert "error: receipt.txt: no space left on device; free some space" in err
    assert err.endswith("note: what the demo has written is in demo; regtorch demo starts anew\n")


def test_a_diagnosis_without_a_change_is_said(shown: Shown, tmp_path: Path):
    record = read_json(shown.folder / "doctor" / "doctor.json", 1)
    for finding in record["findings"]:
        finding["override"] = ""
    write_json(tmp_path / "doctor.json", record)
    with pytest.raises(Failed, match=r"expected a finding with a change that a setting expresses, received none"):
        demo.first_change(tmp_path)


# Its command line


def test_help_says_what_it_does_and_where(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", str(NARROW))
    monkeypatch.setattr(sys, "argv", ["regtorch", "--help"])
    with pytest.raises(SystemExit, match="0"):
        demo.main()
    out = capsys.readouterr().out
    assert out.startswith("usage: regtorch demo")
    assert max(map(len, out.splitlines())) <= NARROW
    assert re.search(r"demo/", out)
    assert not (here / "demo").exists()


def test_one_thread_trains_and_the_others_are_there_afterwards(shown: Shown):
    assert shown.run("before").record.provenance["threads"] == 1
    assert torch.get_num_threads() == shown.threads
