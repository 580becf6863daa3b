"""Finished runs, read from their files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from regtorch.app.ground.reading import is_there
from regtorch.app.record.epoch_tables import Epochs, read_epochs
from regtorch.app.record.file_names import METRICS
from regtorch.app.record.overrides import read_overrides
from regtorch.app.record.run_record import RunRecord
from regtorch.spread import Spread, mean_of, spread

__all__ = ["BrokenRun", "Run", "curve", "mean_curve", "read_run"]


class BrokenRun(ValueError):
    """Files of a finished run that cannot be read; the message names the file and the reason."""


@dataclass(frozen=True)
class Run:
    """A finished run."""

    folder: Path
    overrides: Sequence[str]  # it was started with
    record: RunRecord
    epochs: Epochs

    def final(self, metric: str) -> float | None:
        """A metric after the last epoch: NaN if it was not finite, None if the run has no such metric."""
        final = self.record.final
        return math.nan if metric in final and final[metric] is None else final.get(metric)


def read_run(folder: Path, overrides: Sequence[str] | None = None) -> Run | None:
    """The finished run in a folder, or None; `overrides` are read from its files unless they are given.

    Raises:
        BrokenRun: its files cannot be read.
    """
    try:
        record = RunRecord.read(folder)
        if record is None:
            return None
        return Run(folder, read_overrides(folder) if overrides is None else overrides, record, _epochs(folder))
    except ValueError as error:
        raise BrokenRun(str(error)) from None


def _epochs(folder: Path) -> Epochs:
    path = folder / METRICS
    return read_epochs(path, first=0, growing=True).get(0, {}) if is_there(path) else {}


def curve(runs: Sequence[Run], metric: str, most: int | None = None) -> dict[int, Spread]:
    """A metric's spread over the seeds, by epoch; of more than `most` epochs, evenly spaced ones and the last."""
    return {epoch: found for epoch, values in _by_epoch(runs, metric, most) if (found := spread(values)) is not None}


def mean_curve(runs: Sequence[Run], metric: str, most: int) -> dict[int, float | None]:
    """The means of `curve` alone, in a tenth of the time; None where no value is finite."""
    finite = {epoch: [v for v in values if math.isfinite(v)] for epoch, values in _by_epoch(runs, metric, most)}
    return {epoch: mean_of(values) if values else None for epoch, values in finite.items()}


def _by_epoch(runs: Sequence[Run], metric: str, most: int | None) -> Iterator[tuple[int, list[float]]]:
    """The values of all runs by epoch; of more than `most` epochs, evenly spaced ones and the last."""
    curves = [run.epochs.get(metric, {}) for run in runs]
    epochs = sorted({epoch for one in curves for epoch in one})
    step = 1 if most is None else -(-len(epochs) // most)
    for epoch in epochs if step < 2 else [*epochs[:-1:step], epochs[-1]]:
        yield epoch, [one[epoch] for one in curves if epoch in one]
