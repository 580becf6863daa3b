"""The progress of a sweep, read from the files of its jobs, whichever process runs them."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event, RLock, Thread
from time import monotonic
from types import TracebackType
from typing import Any, ClassVar

from regtorch.app.ground.errors import DIVERGED
from regtorch.app.ground.folders import Folders
from regtorch.app.ground.lines import fitting, tell
from regtorch.app.ground.live import is_live
from regtorch.app.record.file_names import SUMMARY
from regtorch.app.record.overrides import without
from regtorch.app.record.ranking import Rank, rank_of
from regtorch.app.record.run_record import RunRecord
from regtorch.app.record.seeds import Result, best_setting
from regtorch.app.terminal.bar import make_bar
from regtorch.app.terminal.table import error_of

__all__ = ["LOG", "Watch", "job_output"]

LOG = "log.txt"
_POLL = 0.5  # seconds between reads of the folders


class Watch:
    """A live bar on a terminal, a line per job elsewhere: jobs done, failed and skipped, time left, the best so far.

    Attributes:
        current: that of the sweep in this process, or None.
        bar: shared with jobs for their epochs; None without a terminal.
    """

    current: ClassVar["Watch | None"] = None

    def __init__(self, jobs: Mapping[Path, Sequence[str]], skipped: Mapping[Path, Sequence[str]]) -> None:
        self.bar: Any = None
        self._results = {folder: Result(own, None) for folder, own in {**skipped, **jobs}.items()}
        self._waiting = list(jobs)
        self._skipped = skipped
        self._total, self._done, self._failed = len(self._results), 0, 0
        self._task: Any = None
        self._lock, self._ended = RLock(), Event()
        self._thread = Thread(target=self._look_again, daemon=True)

    def __enter__(self) -> "Watch":
        self._started = monotonic()
        for folder, own in self._skipped.items():
            print(f"job {folder.name} has finished before: {' '.join(own) or folder}", flush=True)
            self._rank(folder)
        if is_live(sys.stdout):
            self.bar = make_bar()
            self._task = self.bar.add_task("jobs", total=self._total, left="", below="")
            self.bar.start()
        self._show()
        Watch.current = self
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        Watch.current = None
        self._look(elsewhere=True)
        if self.bar is not None:
            self.bar.stop()

    @contextmanager
    def here(self) -> Iterator[None]:
        """Run a job of this process with exclusive use of the terminal, then read its files."""
        with self._lock:
            try:
                yield
            finally:
                self._look(elsewhere=False)

    def _look_again(self) -> None:
        while not self._ended.wait(_POLL):
            with self._lock:
                self._look(elsewhere=True)

    def _look(self, *, elsewhere: bool) -> None:
        """Count jobs that have ended; those of other processes have not printed their result here."""
        for folder in list(self._waiting):
            error = error_of(folder)
            if error is None and not (folder / SUMMARY).is_file():
                continue
            self._waiting.remove(folder)
            self._done += error is None
            self._failed += error is not None
            if error is not None:
                self._note(folder, None, diverged=DIVERGED in error)
            result = error or self._rank(folder)
            if elsewhere or folder in Folders.lost:
                kind, stream = ("", sys.stdout) if error is None else ("error: ", sys.stderr)
                self._print(f"{kind}job {folder.name}, {' '.join(self._results[folder].overrides)}: {result}", stream)
            self._show(line=True)

    def _rank(self, folder: Path) -> str:
        """A job's score as text; notes it for the best so far."""
        try:
            record = RunRecord.read(folder)
        except ValueError as error:
            return str(error)
        found = None if record is None else rank_of(record)
        if found is None:
            return "no score"
        self._note(folder, found)
        return f"{found.metric} {found.score:.4f}"

    def _note(self, folder: Path, rank: Rank | None, *, diverged: bool = False) -> None:
        self._results[folder] = replace(self._results[folder], rank=rank, diverged=diverged)

    def _show(self, *, line: bool = False) -> None:
        parts = [f"{n} {what}" for n, what in ((self._failed, "failed"), (len(self._skipped), "skipped")) if n]
        results = list(self._results.values())
        if (best := best_setting(results)) is not None:
            own = results[best.runs[0]].overrides
            label = own if len(best.runs) == 1 else without(own, ("seed",))
            parts.append(f"best by {best.said}: {' '.join(label)}")
        settled = self._total - len(self._waiting)
        if self.bar is not None:
            self.bar.update(self._task, completed=settled, left=self._left(), below="  |  ".join(parts))
        elif line:
            left = [f"{self._left()} left"] if self._waiting else []
            self._print("  |  ".join([f"{settled} of {self._total} jobs", *parts, *left]), sys.stdout)

    def _left(self) -> str:
        ended = self._done + self._failed
        if not ended:
            return "-:--:--"
        half = sum(folder.exists() for folder in self._waiting) / 2  # running jobs are half done on average
        seconds = (monotonic() - self._started) / (ended + half) * (len(self._waiting) - half)
        return str(timedelta(seconds=round(seconds)))

    def _print(self, text: str, stream: Any) -> None:
        if self.bar is not None:
            self.bar.console.print(fitting(text, sys.stdout), highlight=False, markup=False, soft_wrap=True)
        else:
            tell(text, stream)


@contextmanager
def job_output(folder: Path) -> Iterator[None]:
    """Send a job's output to the terminal in the process that started the sweep, and to the job's log elsewhere.

    Several processes would otherwise interleave their lines, or write into a queue's files.
    """
    if Folders.sweep is None:
        with open(folder / LOG, "a", encoding="utf-8") as log, redirect_stdout(log), redirect_stderr(log):
            yield
    elif Watch.current is None:
        yield
    else:
        with Watch.current.here():
            yield
