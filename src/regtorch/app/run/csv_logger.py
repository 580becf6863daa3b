"""Lightning's CSV logger, without loss of rows if the process is killed."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch import loggers
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from regtorch.app.ground.atomic import write_text

__all__ = ["CSVLogger"]


class CSVLogger(loggers.CSVLogger):
    """Lightning's CSV logger, but new columns replace the file atomically, where Lightning truncates it first."""

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        if self._experiment is None:
            self._experiment = _Writer(log_dir=self.log_dir)
        return self._experiment


class _Writer(ExperimentWriter):
    """Writes metrics.csv; rows that cannot be written, for lack of space, are kept for the next time.

    Attributes:
        rows: how many rows the file has.
    """

    rows = 0

    def _check_log_dir_exists(self) -> None:
        """Lightning warns here; the folder of a resumed run holds its rows so far."""

    def keep(self, rows: int) -> None:
        """Go on after the first `rows` rows of the file: those after them will be written again."""
        path = Path(self.metrics_file_path)
        names, kept = _read(path) if path.is_file() else ([], [])
        self.metrics_keys, self.metrics, self.rows = names, [], min(rows, len(kept))
        if names:
            write_text(path, _table(names, kept[:rows], header=True))

    def save(self) -> None:
        """Append the recorded rows; rewrite the file if they have new columns."""
        path, count = Path(self.metrics_file_path), len(self.metrics)
        new = {key for row in self.metrics for key in row} - {*self.metrics_keys}
        if "://" in self.metrics_file_path:
            super().save()
        elif new:
            names = sorted({*self.metrics_keys, *new})
            rows = _read(path)[1] if path.is_file() else []
            write_text(path, _table(names, [*rows, *self.metrics], header=True))
            self.metrics_keys = names
        elif count:
            _append(path, _table(self.metrics_keys, self.metrics).encode())
        self.metrics = []
        self.rows += count


def _table(names: Sequence[str], rows: Sequence[Mapping[str, Any]], *, header: bool = False) -> str:
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, names)
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return table.getvalue()


def _append(path: Path, content: bytes) -> None:
    """Append to a file all of the content or nothing."""
    with path.open("r+b", buffering=0) as file:
        size = file.seek(0, io.SEEK_END)
        try:
            while content:
                content = content[file.write(content) :]
        except OSError:
            file.truncate(size)
            raise


def _read(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """A table's columns and rows."""
    with path.open(encoding="utf-8", newline="") as file:
        table = csv.DictReader(file)
        return list(table.fieldnames or []), list(table)
