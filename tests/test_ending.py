"""Being asked to end."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import regtorch.training.job as job
from command_line import CommandLine
from regtorch.training.ending import Ended, asked_to_end, end_if_asked, exposed, shielded

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
def test_a_signal_is_an_exception_and_handlers_are_put_back(number: int, code: int, text: str) -> None:
    before = signal.signal(number, signal.SIG_DFL)  # the tests may run with nohup
    try:
        with pytest.raises(Ended, match=text) as ended, asked_to_end():
            ask(number)
        assert ended.value.code == code
        assert signal.getsignal(number) is signal.SIG_DFL
        end_if_asked()  # a program may go on
    finally:
        signal.signal(number, before)


def test_what_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with asked_to_end():
            ask(signal.SIGHUP)
            end_if_asked()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_sigterm_does_not_disturb_the_ending_and_a_second_ctrl_c_does() -> None:
    with asked_to_end():
        with pytest.raises(Ended, match="SIGTERM"):
            ask(signal.SIGTERM)
        ask(signal.SIGTERM)
        with pytest.raises(Ended, match="interrupted"):
            ask(signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_got_lost_is_raised_again() -> None:
    with asked_to_end():
        deaf = Deaf()
        del deaf
        with pytest.raises(Ended):
            end_if_asked()


def test_it_is_put_off_until_the_block_is_done() -> None:
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


def test_a_block_in_a_shielded_one_can_be_ended_and_afterwards_the_shield_is_up_again() -> None:
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
def test_a_sweep_ends_before_its_next_job_where_ctrl_c_got_lost_in_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    trained: list[float] = []

    def train(cfg: Any, *_: Any, **__: Any) -> dict[str, Any]:
        trained.append(cfg.reg.lam)
        Deaf()
        return {"final": {}}

    monkeypatch.setattr(job, "train", train)
    sweep = CommandLine(tmp_path, monkeypatch, capfd, runs="sweeps")
    result = sweep("-m", "reg=l2", "reg.lam=1,2,3")
    assert (result.code, trained) == (130, [1])
    assert "error: interrupted" in result.err
