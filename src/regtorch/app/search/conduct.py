"""The main process of a search: starts workers, shows progress and writes results."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from regtorch.app.ground.errors import say
from regtorch.app.ground.lines import fitting, tell
from regtorch.app.ground.live import is_live
from regtorch.app.ground.signals import exposed, shielded
from regtorch.app.record.file_names import ERROR
from regtorch.app.search.book import Book
from regtorch.app.search.search_results import described, print_results, write_results
from regtorch.app.search.workers import Workers
from regtorch.app.terminal.bar import make_bar

__all__ = ["search"]

_POLL = 0.5  # seconds between reads of the storage
_FAILURES = 3  # workers that may fail in a row without a finished trial


def search(book: Book, command: Sequence[str], workers: int, folder: Path) -> bool:
    """Run the unfinished trials in worker processes started by `command`.

    Returns:
        Whether all trials are done and one of them has a value.

    Raises:
        KeyboardInterrupt: interrupted; results so far are written.
    """
    try:
        if left := book.left():
            with Workers(command, min(workers, left), folder) as processes:
                _watch(book, processes)
    except KeyboardInterrupt:
        _report(book, folder)
        raise
    _report(book, folder)
    if book.left():
        return False
    (folder / ERROR).unlink(missing_ok=True)  # left by an interrupted start
    return book.best() is not None


def _report(book: Book, folder: Path) -> None:
    write_results(book, folder)
    print_results(book, folder)


def _watch(book: Book, workers: Workers) -> None:
    """Keep workers running and show finished trials, until all are finished or workers only fail."""
    seen = {trial.number for trial in book.trials() if trial.state.is_finished()}
    failures, announced = 0, False
    with shielded(), _bar(sum(book.counts().values()), len(seen)) as bar:
        while True:
            failed = workers.ended()  # before reading the trials, which then include theirs
            for trial in book.trials():
                if trial.state.is_finished() and trial.number not in seen:
                    seen.add(trial.number)
                    failures = 0
                    bar.advance(described(trial, book), book)
            for text in failed:
                say(text, "warning")
            failures += len(failed)
            if workers.alive < workers.most:
                book.reclaim()
            left, waiting = book.left(), book.counts().get("waiting", 0)
            if not workers.alive and (not left or failures > _FAILURES):
                return
            if failures <= _FAILURES:
                workers.begin(min(waiting, min(workers.most, left) - workers.alive))
            if not workers.alive and not announced:
                say(f"trials held by other workers: {left}; waiting{_killed(book)}", "warning")
                announced = True
            with exposed():
                time.sleep(_POLL)


def _killed(book: Book) -> str:
    grace = book.store.grace
    return f" (a killed worker is detected {grace} seconds after its last heartbeat)" * bool(grace)


class _Bar:
    """A bar on a terminal, a line per trial elsewhere."""

    def __init__(self, progress: Any, task: Any) -> None:
        self.progress = progress
        self.task = task

    def advance(self, line: str, book: Book) -> None:
        best = book.best()
        if self.progress is None:
            tell(line)
            return
        self.progress.console.print(fitting(line, sys.stdout), markup=False, highlight=False, soft_wrap=True)
        self.progress.update(self.task, advance=1, below="" if best is None else f"best {described(best, book)}")


@contextmanager
def _bar(total: int, done: int) -> Iterator[_Bar]:
    if not is_live(sys.stdout):
        yield _Bar(None, None)
        return
    with make_bar() as progress:
        yield _Bar(progress, progress.add_task("trials", total=total, completed=done, below=""))
