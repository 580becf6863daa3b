"""All that is looked at in one optimizer: each check gives a mark, or says what is wrong."""

from __future__ import annotations

import io
import logging
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

from third_party.runs import RULES, Runs, Skip, Wrong
from third_party.safety import refused, removed, traces, twice
from third_party.training import Case
from third_party.ways import closure, holds, ways, zeroed

__all__ = ["CHECKS", "row"]

CHECKS: dict[str, Callable[[Runs], str]] = {
    **{name: ways(name) for name in RULES},
    "holds": holds,
    "closure": closure,
    "zero_grad": zeroed,
    "refusal": refused,
    "twice": twice,
    "remove": removed,
    "traces": traces,
}


@contextmanager
def _quietly(seconds: int) -> Iterator[None]:
    """Without a word from libraries, and not for ever."""

    def over(*_: object) -> None:
        raise Wrong(f"not at an end after {seconds} seconds")

    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    alarm = signal.signal(signal.SIGALRM, over)
    signal.alarm(seconds)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, alarm)
        logging.disable(before)


def row(case: Case) -> tuple[dict[str, str], list[str]]:
    """A mark for each check, "!" for what is wrong, and the sentences about that."""
    runs = Runs(case)
    marks: dict[str, str] = {}
    wrong: list[str] = []
    try:
        with _quietly(120):
            runs("none")
    except Exception as error:
        return dict.fromkeys(CHECKS, "!"), [f"fails by itself: {type(error).__name__}: {error}"]
    for name, check in CHECKS.items():
        try:
            with _quietly(120):
                marks[name] = check(runs)
        except Skip:
            marks[name] = "-"
        except Wrong as error:
            marks[name] = "!"
            wrong.append(f"{name}: {error}")
        except Exception as error:
            marks[name] = "!"
            wrong.append(f"{name}: {type(error).__name__}: {str(error)[:200]}")
    return marks, wrong
