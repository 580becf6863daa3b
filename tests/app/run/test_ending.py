"""Being asked to end."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import regtorch.app.run.job as job
import regtorch.app.terminal.table as table
from command_line import CommandLine
from regtorch.app.ground.atomic import write_text
from regtorch.app.ground.signals import Ended, asked_to_end, end_if_asked, exposed, shielded
from regtorch.app.record.run_record import RunRecord

pytestmark = pytest.mark.script

SIGNALS = [
    (signal.SIGINT, 130, "interrupted"),
    (signal.SIGTERM, 143, "ended by SIGTERM"),
    (signal.SIGHUP, 129, "SIGHUP"),
]


def ask(number: int = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)


@pytest.fixture(autouse=True)
def asked_as_from_a_terminal() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background would ignore it
    yield
    signal.signal(signal.SIGINT, before)


class Deaf:
    """Is asked to end in its destructor, where Python drops what a signal raises."""

    def __del__(self) -> None:
        ask()


@pytest.mark.parametrize(("number", "code", "text"), SIGNALS)
def test_a_signal_raises_and_handlers_are_restored(number: int, code: int, text: str) -> None:
    before = signal.signal(number, signal.SIG_DFL)  # the tests may run with nohup
    try:
        with pytest.raises(Ended, match=text) as ended, asked_to_end():
            ask(number)
        assert ended.value.code == code
        assert signal.getsignal(number) is signal.SIG_DFL
        end_if_asked()  # a program may go on
    finally:
        signal.signal(number, before)


def test_ignored_signals_stay_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with asked_to_end():
            ask(signal.SIGHUP)
            end_if_asked()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_sigterm_is_ignored_and_a_second_ctrl_c_raises() -> None:
    with asked_to_end():
        with pytest.raises(Ended, match="SIGTERM"):
            ask(signal.SIGTERM)
        ask(signal.SIGTERM)
        with pytest.raises(Ended, match="interrupted"):
            ask(signal.SIGINT)


def test_processes_started_in_a_shielded_block_can_be_ended() -> None:
    asked = f"import signal; print(signal.getsignal({int(signal.SIGTERM)}) == signal.SIG_DFL)"

    def begin() -> str:
        with shielded():
            ask(signal.SIGTERM)
            ask(signal.SIGTERM)  # ignored from now on, in this process
            found.append(subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True).stdout)
        raise AssertionError

    found: list[str] = []
    with asked_to_end(), pytest.raises(Ended):
        begin()
    assert found == ["True\n"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_swallowed_signal_is_raised_again() -> None:
    with asked_to_end():
        deaf = Deaf()
        del deaf
        with pytest.raises(Ended):
            end_if_asked()


def test_a_shielded_block_defers_a_signal() -> None:
    done: list[str] = []

    def work() -> None:
        with shielded():
            with shielded():
                ask()
                done.append("inner")
            end_if_asked()
            done.append("outer")
        done.append("never")

    with asked_to_end(), pytest.raises(Ended):
        work()
    assert done == ["inner", "outer"]


def test_an_exposed_block_can_be_interrupted_inside_a_shielded_one() -> None:
    done: list[str] = []

    def work() -> None:
        with shielded():
            with pytest.raises(Ended), exposed():
                ask()
            ask()
            with pytest.raises(ZeroDivisionError), shielded():  # an error comes first
                raise ZeroDivisionError
            with pytest.raises(Ended), exposed():  # it has come before
                done.append("never")
            done.append("whole")

    with asked_to_end(), pytest.raises(Ended):
        work()
    assert done == ["whole"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_sweep_ends_before_its_next_job_after_a_swallowed_ctrl_c(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    trained: list[float] = []

    def train(cfg: Any, *_: Any, **__: Any) -> RunRecord:
        trained.append(cfg.reg.lam)
        Deaf()
        return RunRecord(final={})

    monkeypatch.setattr(job, "train", train)
    sweep = CommandLine(tmp_path, monkeypatch, capfd, runs="sweeps")
    result = sweep("-m", "reg=l2", "reg.lam=1,2,3")
    assert (result.code, trained) == (130, [1])
    assert "error: interrupted" in result.err


def test_a_second_signal_during_the_sweeps_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(table, "print_jobs", lambda _: ask())
    result = CommandLine(tmp_path, monkeypatch, capfd, runs="sweeps")("-m", "reg=l2", "reg.lam=1,2")
    assert result.code == 130
    assert result.err.endswith("error: interrupted\n")


@pytest.mark.parametrize(("where", "finished"), [("print_metrics", False), ("_print_paths", True)])
def test_a_finished_run_is_not_reported_as_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], where: str, finished: bool
) -> None:
    monkeypatch.setattr(job, where, lambda *_, **__: ask(signal.SIGTERM))
    result = CommandLine(tmp_path, monkeypatch, capfd)("callbacks=none", "logger=none")
    assert result.code == 143
    assert (result.folder / "summary.json").exists() == finished
    assert (result.folder / "error.txt").exists() != finished


def test_a_file_is_written_completely_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def replace(*_: object) -> None:
        raise Ended

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(Ended):
        write_text(tmp_path / "new" / "file.txt", "text")
    assert list((tmp_path / "new").iterdir()) == []
