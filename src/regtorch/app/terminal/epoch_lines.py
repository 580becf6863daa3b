"""The line of each epoch: numbers in columns, as many as the width holds."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence

__all__ = ["EpochLines"]

_TRAIN = ("task_loss", "penalty", "accuracy", "r2")
_COLUMNS = [*(f"train/{name}" for name in _TRAIN), *(f"val/{name}" for name in _TRAIN if name != "penalty")]
_SPARE = ("train/accuracy", "train/r2", "train/penalty", "val/task_loss")
"""Columns that a narrow line leaves out, the first one first."""
_NUMBER = 8  # columns of a number


class EpochLines:
    """Makes the lines of a training's epochs.

    Args:
        of: "/20", which follows an epoch's number; empty if there is no last one.
        penalised: whether the training has a penalty at all.
    """

    def __init__(self, of: str = "", *, penalised: bool = True) -> None:
        self._of = of
        self._left = len("epoch ") + max(2 * len(of) - 1, len("1000"))
        self._known = [column for column in _COLUMNS if penalised or not column.endswith("/penalty")]
        self._columns: Sequence[str] = ()
        self._shown: Sequence[str] = ()

    def __call__(self, epoch: int, metrics: Mapping[str, float]) -> list[str]:
        """The epoch's line, below the names of its columns where these are new, and a word on those left out."""
        lines: list[str] = []
        columns = [column for column in self._known if column in metrics or column in self._columns]
        if columns != self._columns:
            self._columns, self._shown = columns, columns
            width = shutil.get_terminal_size().columns
            left_out = [column for column in _SPARE if column in columns]
            while left_out and len(self._row("epoch", self._names)) > width:
                gone = left_out.pop(0)
                self._shown = [column for column in self._shown if column != gone]
            if missing := [column.replace("/", " ") for column in columns if column not in self._shown]:
                lines.append(f"{width} columns are too few for {', '.join(missing)}")
            lines.append(self._row("epoch", self._names))
        numbers = [f"{metrics[column]:.4f}" if column in metrics else "" for column in self._shown]
        return [*lines, self._row(f"epoch {epoch}{self._of}", numbers)]

    @property
    def _names(self) -> list[str]:
        """The names of the columns shown; the first of each stage is led by the stage."""
        names: list[str] = []
        last = ""
        for column in self._shown:
            stage, _, name = column.partition("/")
            names.append(name if stage == last else f"{stage}: {name}")
            last = stage
        return names

    def _row(self, first: str, cells: Sequence[str]) -> str:
        sizes = [max(len(name), _NUMBER) for name in self._names]
        return "  ".join([f"{first:{self._left}}", *(f"{c:>{n}}" for c, n in zip(cells, sizes, strict=True))]).rstrip()
