"""Lightning's CSV logger, without loss of rows if the process is killed."""

import csv
import io
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
    def save(self) -> None:
        """Append the recorded rows; rewrite the file if they have new columns."""
        new = {key for row in self.metrics for key in row} - {*self.metrics_keys}
        if not new or "://" in self.metrics_file_path:  # a remote path
            super().save()
            return
        path, rows = Path(self.metrics_file_path), list[dict[str, Any]]()
        if path.is_file():
            with path.open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
        self.metrics_keys = sorted({*self.metrics_keys, *new})
        table = io.StringIO(newline="")
        writer = csv.DictWriter(table, self.metrics_keys)
        writer.writeheader()
        writer.writerows([*rows, *self.metrics])
        write_text(path, table.getvalue())
        self.metrics = []
