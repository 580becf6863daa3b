"""What the terminal shows of a path: one bar with the time left and the best so far, and a table at the end."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from regtorch.sweep.path.members import varied
from regtorch.sweep.path.ranking import best_epoch, best_of
from regtorch.sweep.path.start import Prepared
from regtorch.sweep.path.train import Outcome

__all__ = ["Show", "print_members"]

_MOST_ROWS = 64


class Show:
    """A live bar on a terminal, a line an epoch where there is none.

    Args:
        start: the path before training.
        steps: training steps of an epoch.
        chunks: how many chunks there are.
    """

    def __init__(self, start: Prepared, steps: int, chunks: int) -> None:
        self._score = start.task.score
        self._epochs = start.settings.epochs
        self._members = len(start.members)
        self._steps, self._chunks, self._chunk = steps, chunks, 0
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Show:
        if sys.stdout.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[best]}"),
                console=Console(file=sys.stdout),
                transient=True,
            )
            self._task = self._bar.add_task("", total=self._chunks * self._epochs * self._steps, best="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def start(self) -> None:
        """A chunk begins."""
        self._chunk += 1
        self._describe(1)

    def step(self) -> None:
        """A step was made."""
        if self._bar is not None:
            self._bar.advance(self._task)

    def epoch(self, number: int, outcomes: Sequence[Outcome]) -> None:
        """An epoch has ended."""
        line = self._best(outcomes)
        if self._bar is not None:
            self._describe(min(number + 1, self._epochs))
            self._bar.update(self._task, best=line)
        else:
            print(f"{self._where(number)}  |  {line}", flush=True)

    def halved(self, members: int) -> None:
        """A chunk of so many members did not fit and comes again in two parts; what it did counts for nothing."""
        self._chunks += 1
        self._chunk -= 1
        text = f"out of memory with {members} members side by side; going on with half of them at a time"
        if self._bar is None:
            print(text, flush=True)
        else:
            done = self._chunk * self._epochs * self._steps
            self._bar.update(self._task, total=self._chunks * self._epochs * self._steps, completed=done)
            self._bar.console.print(text, highlight=False)

    def _describe(self, epoch: int) -> None:
        if self._bar is not None:
            self._bar.update(self._task, description=self._where(epoch))

    def _where(self, epoch: int) -> str:
        chunk = f"chunk {self._chunk}/{self._chunks}, " if self._chunks > 1 else ""
        return f"{chunk}epoch {epoch}/{self._epochs}"

    def _best(self, outcomes: Sequence[Outcome]) -> str:
        best = best_of(outcomes, self._score)
        lost = sum(outcome.diverged is not None for outcome in outcomes)
        diverged = f"  |  {lost} of {self._members} diverged" if lost else ""
        epoch = None if best is None else best_epoch(best, self._score)
        if best is None or epoch is None:
            return f"no member has a score{diverged}"
        stage = "val" if f"val/{self._score}" in epoch else "train"
        return f"best {stage} {self._score} {epoch[f'{stage}/{self._score}']:.4f} at {best.member.label}{diverged}"


def print_members(outcomes: Sequence[Outcome], score: str, best: Mapping[str, Any] | None) -> None:
    """Print a row for each member, the best one marked, and the command that runs it alone.

    Args:
        outcomes: every member's.
        score: the task's.
        best: of summary.json.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    axes = varied([outcome.member for outcome in outcomes]) or list(outcomes[0].member.values)
    names = ["train", "val", "test", "best val", "epoch", "norm", "zeros"]
    table = Table(
        "",
        *axes,
        *names,
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        title=f"{score} and weights after the last epoch, and the best epoch",
    )
    for column in table.columns:
        column.justify, column.no_wrap = "right", True
    console = Console()
    chosen = None if best is None else best["member"]
    shown = _shown(outcomes, score, chosen)
    for outcome in shown:
        values = [f"{outcome.member.values[axis]:.4g}" for axis in axes]
        cells = _cells(outcome, score) if outcome.diverged is None else ["diverged"] + [""] * (len(names) - 1)
        mark, style = ("→", "bold") if outcome.member.number == chosen else ("", None)
        table.add_row(mark, *values, *cells, style=style)
    console.print(table)
    if len(shown) < len(outcomes):
        console.print(f"the best {len(shown)} of {len(outcomes)} members; all are in summary.json", highlight=False)
    for outcome in [outcome for outcome in outcomes if outcome.diverged is not None][:5]:
        assert outcome.diverged is not None
        print(f"diverged: {outcome.member.label}: {outcome.diverged.reason}")
    if best is not None:
        print(f"best, alone:\n  {best['command']}")


def _shown(outcomes: Sequence[Outcome], score: str, chosen: int | None) -> Sequence[Outcome]:
    if len(outcomes) <= _MOST_ROWS:
        return outcomes

    def value(outcome: Outcome) -> float:
        epoch = best_epoch(outcome, score) if outcome.diverged is None else None
        return -1e300 if epoch is None else epoch.get(f"val/{score}", epoch[f"train/{score}"])

    ranked = sorted(outcomes, key=lambda o: (o.member.number == chosen, value(o)), reverse=True)
    return ranked[:_MOST_ROWS]


def _cells(outcome: Outcome, score: str) -> list[str]:
    last = outcome.epochs[-1] if outcome.epochs else {}
    best = best_epoch(outcome, score) or {}
    metrics = {**last, **outcome.test}
    cells = [_number(metrics.get(f"{stage}/{score}"), ".4f") for stage in ("train", "val", "test")]
    return [
        *cells,
        _number(best.get(f"val/{score}"), ".4f"),
        _number(best.get("epoch"), ".0f"),
        _number(outcome.norm, ".4g"),
        _number(outcome.zeros, ".1%"),
    ]


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
