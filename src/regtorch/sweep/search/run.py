"""The process that begins a search: it starts workers, shows how far they are, and writes down what came of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from regtorch.sweep.search.book import Book
from regtorch.sweep.search.results import in_words, print_results, write_results
from regtorch.training.app import say

__all__ = ["search"]

_LOOK = 0.5  # seconds between two looks at the storage
_PATIENCE = 30  # seconds that a worker has to hand its trial back


def search(book: Book, name: str, workers: int, folder: Path) -> bool:
    """Let workers do the trials that are left.

    Args:
        book: the trials.
        name: the search's.
        workers: how many processes.
        folder: where the results go.

    Returns:
        Whether all trials are done and one of them has a value.
    """
    left = _left(book)
    if left:
        with _started(book, name, min(workers, left), folder) as processes:
            _watch(book, processes)
    write_results(book, folder)
    print_results(book, folder)
    left = _left(book)
    if left:
        say(f"{left} trials are left; the same command goes on with them")
    return not left and book.best() is not None


def _left(book: Book) -> int:
    counts = book.counts()
    return counts.get("waiting", 0) + counts.get("running", 0)


@contextmanager
def _started(book: Book, name: str, workers: int, folder: Path) -> Iterator[Sequence[subprocess.Popen[bytes]]]:
    """Worker processes, which are asked to end, and then made to, when the block ends."""
    threads = max(1, torch.get_num_threads() // workers)
    command = [
        *(sys.executable, sys.argv[0], "search.worker=true", f"search.storage={book.store.url}", f"search.name={name}"),
        *(f"hydra.run.dir={folder}", "hydra.output_subdir=null"),
    ]
    processes: list[subprocess.Popen[bytes]] = []
    with (folder / "workers.log").open("ab") as log:
        try:
            for _ in range(workers):
                environment = {"OMP_NUM_THREADS": str(threads), **os.environ}
                # In a group of its own: Ctrl-C reaches this process alone, which lets the workers end in order.
                processes.append(
                    subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
                )
            yield processes
        finally:
            _end(processes)


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + _PATIENCE
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _watch(book: Book, processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Show the trials as they are done, until every worker has ended."""
    seen = {trial.number for trial in book.trials() if trial.state.is_finished()}
    with _bar(sum(book.counts().values()), len(seen)) as bar:
        while True:
            alive = any(process.poll() is None for process in processes)
            for trial in book.trials():
                if trial.state.is_finished() and trial.number not in seen:
                    seen.add(trial.number)
                    bar.advance(in_words(trial, book), book)
            if not alive:
                return
            time.sleep(_LOOK)


class _Bar:
    """A bar on a terminal, and a line for each trial elsewhere."""

    def __init__(self, progress: Any, task: Any) -> None:
        self.progress = progress
        self.task = task

    def advance(self, line: str, book: Book) -> None:
        best = book.best()
        if self.progress is None:
            print(line, flush=True)
            return
        self.progress.console.print(line, highlight=False, soft_wrap=True)
        self.progress.update(self.task, advance=1, best="" if best is None else f"best {in_words(best, book)}")


@contextmanager
def _bar(total: int, done: int) -> Iterator[_Bar]:
    if not sys.stdout.isatty():
        yield _Bar(None, None)
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("trials"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[best]}")) as progress:
        yield _Bar(progress, progress.add_task("trials", total=total, completed=done, best=""))
