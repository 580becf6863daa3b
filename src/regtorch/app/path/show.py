"""Progress of a path on the terminal: a bar with the time left and the best setting so far."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from regtorch.app.ground.lines import tell
from regtorch.app.ground.live import is_live
from regtorch.app.path.feed import Feed
from regtorch.app.path.outcome import Outcome
from regtorch.app.path.prepared import Prepared
from regtorch.app.path.seed_groups import best_setting, settings_of
from regtorch.app.terminal.bar import make_bar

__all__ = ["Show"]


class Show:
    """A live bar on a terminal, a line per epoch elsewhere."""

    def __init__(self, start: Prepared, feed: Feed, chunks: int) -> None:
        self._score = start.task.score
        self._epochs = feed.epochs
        self._members = len(start.members)
        self._steps = (feed.epochs - 1) * feed.count("train") + feed.steps(feed.epochs)  # in a chunk
        self._chunks, self._chunk = chunks, 0
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Show:
        if is_live(sys.stdout):
            self._bar = make_bar()
            self._task = self._bar.add_task("", total=self._chunks * self._steps, below="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def start(self) -> None:
        """Begin a chunk."""
        self._chunk += 1
        self._describe(1)

    def step(self) -> None:
        """Count a step."""
        if self._bar is not None:
            self._bar.advance(self._task)

    def epoch(self, number: int, outcomes: Sequence[Outcome]) -> None:
        """Show the end of an epoch."""
        line = self._best(outcomes)
        if self._bar is not None:
            self._describe(min(number + 1, self._epochs))
            self._bar.update(self._task, below=line)
        else:
            tell(f"{self._where(number)}  |  {line}")

    def halved(self, members: int) -> None:
        """Note that a chunk did not fit into memory and starts again in two halves."""
        self._chunks += 1
        self._chunk -= 1
        text = f"out of memory with {members} members side by side; continuing with half of them at a time"
        if self._bar is None:
            print(text, flush=True)
        else:
            done = self._chunk * self._steps
            self._bar.update(self._task, total=self._chunks * self._steps, completed=done)
            self._bar.console.print(text, highlight=False)

    def _describe(self, epoch: int) -> None:
        if self._bar is not None:
            self._bar.update(self._task, description=self._where(epoch))

    def _where(self, epoch: int) -> str:
        chunk = f"chunk {self._chunk}/{self._chunks}, " if self._chunks > 1 else ""
        return f"{chunk}epoch {epoch}/{self._epochs}"

    def _best(self, outcomes: Sequence[Outcome]) -> str:
        best = best_setting(settings_of(outcomes, self._score))
        lost = sum(outcome.diverged is not None for outcome in outcomes)
        diverged = f"  |  {lost} of {self._members} diverged" if lost else ""
        if best is None or best.metric is None:
            return f"no member has a score{diverged}"
        return f"best {best.metric.replace('/', ' ')} {best.score} at {best.label}{diverged}"
