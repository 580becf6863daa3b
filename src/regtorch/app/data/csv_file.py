"""The user's own table: numbers and categories of a CSV file, and a column to predict."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Unpack

import numpy as np
import torch

from regtorch.app.data.arrays import Arrays, Splits, named_classes
from regtorch.app.data.data_errors import DataError
from regtorch.app.data.datamodule import ArraysDataModule
from regtorch.app.data.options import Options
from regtorch.app.data.split import split
from regtorch.app.data.table import DELIMITERS, Table, read_table
from regtorch.app.data.table_numbers import Inputs, Targets, inputs_of, position, targets_of
from regtorch.checks import one_of, share
from regtorch.counted import counted

__all__ = ["Columns", "Csv"]


class Columns(NamedTuple):
    """What is read from which columns of a table.

    Attributes:
        file: The table.
        target: The column to predict, by name or number.
        ignore: Columns that are left out, likewise.
        delimiter: What separates the cells; None finds it.
        on_missing: "stop" or "fill".
    """

    file: Path
    target: str | int
    ignore: tuple[str | int, ...] = ()
    delimiter: str | None = None
    on_missing: str = "stop"

    def targets(self, num_classes: int | str | None = "found") -> Targets:
        """The column to predict; for `num_classes` and errors see `targets_of`."""
        table = self._table()
        return targets_of(table, str(self.file), self._position(table), num_classes)

    def inputs(self) -> Inputs:
        """The other columns; for errors see `inputs_of`."""
        return _inputs(self, _changed(self.file))

    def _table(self) -> Table:
        known = tuple(str(name) for name in (self.target, *self.ignore))
        return _table(self.file, _changed(self.file), self.delimiter, known)

    def _position(self, table: Table) -> int:
        return position(table, str(self.file), self.target, "data.target")

    def _read(self) -> Inputs:
        table = self._table()
        others = [position(table, str(self.file), column, "data.ignore") for column in self.ignore]
        target = self._position(table)
        if target in others:
            raise DataError(f"data.ignore: {self.target!r} is the target; name other columns.")
        return inputs_of(table, str(self.file), [target, *others], fill=self.on_missing == "fill")


def _changed(file: Path) -> int:
    return file.stat().st_mtime_ns if file.is_file() else 0


@lru_cache(maxsize=2)
def _table(file: Path, _changed: int, delimiter: str | None, known: Sequence[str]) -> Table:
    return read_table(file, delimiter, known)


@lru_cache(maxsize=2)
def _inputs(columns: Columns, _changed: int) -> Inputs:
    return columns._read()


class Csv(ArraysDataModule):
    r"""Rows of a table in memory; fixed random shares of them are the validation and test parts.

    A column of numbers is an input with mean 0 and deviation 1 in the training part; a column of text with at most 50
    categories is an input of 0 and 1 for each. The target is classes if it is text or has few different whole numbers
    (at most 20, five rows each on average), and otherwise a number, (N, 1), standardized likewise.

    The table is UTF-8, may be gzipped, and separates cells by a comma, semicolon, tab or bar. Its first row is a header
    if it has the name of the target or no number.

    Args:
        file: The .csv or .csv.gz.
        target: The column to predict: its name, or its number from 1; -1 is the last one.
        ignore: Columns that are left out, such as names or numbers of rows, likewise.
        delimiter: What separates cells; None finds it.
        on_missing: "stop" at a cell that is empty or says NA, or "fill" it: numbers with the training part's median,
            text with a category of its own. A row without a target is always refused.
        val_share: The share of the validation part, of each class.
        test_share: The share of the test part; with 0 it is the validation part.
        **options: See `ArraysDataModule`; `num_classes` is found if it is left out, None makes the targets numbers,
            `seed` seeds the shuffling alone, `download` has no effect.

    Raises:
        DataError: The table is not there, or cannot be read; the message names line and column.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     file = Path(folder, "table.csv")
        ...     _ = file.write_text("size,kind,price\n" + "1.5,a,10\n2.5,b,21.5\n" * 10)
        ...     data = Csv(str(file), target="price")
        ...     data.setup()
        >>> data.input_shape, data.num_classes, [len(part) for part in data.splits]
        ((3,), None, [14, 3, 3])
    """

    title = "csv"
    images = False

    def __init__(
        self,
        file: str,
        *,
        target: str | int,
        ignore: Sequence[str | int] = (),
        delimiter: str | None = None,
        on_missing: str = "stop",
        val_share: float = 0.15,
        test_share: float = 0.15,
        **options: Unpack[Options],
    ) -> None:
        one_of(self.title, "on_missing", on_missing, ("stop", "fill"))
        one_of(self.title, "delimiter", delimiter, (None, *DELIMITERS))
        place = Path(file).expanduser().absolute()
        self.columns = Columns(place, target, tuple(ignore), delimiter, on_missing)
        if "num_classes" not in options:
            options["num_classes"] = len(self.columns.targets().classes) or None
        super().__init__(file, **options)
        self.val_share = share(self.title, "val_share", val_share)
        self.test_share = share(self.title, "test_share", test_share, zero=True)
        self._offset, self._scale = 0.0, 1.0

    def load(self) -> Splits:
        inputs, targets = self.columns.inputs(), self.columns.targets(self.num_classes)
        self.class_names = targets.classes
        rows = len(targets.values)
        labels = torch.from_numpy(targets.values) if targets.classes else torch.zeros(rows, dtype=torch.int64)
        shares = [self.val_share, self.test_share]
        train, val, test = split(labels, shares, str(self.columns.file), targets.classes or ("of all rows",))
        chosen = train.numpy()
        values, filled = _standardized(inputs, chosen)
        self._remark(inputs, targets, filled, [len(part) for part in (train, val, test)])
        answers = targets.values
        if not targets.classes:
            self._offset, self._scale = float(answers[chosen].mean()), float(answers[chosen].std()) or 1.0
            answers = ((answers - self._offset) / self._scale).astype(np.float32)
        everything = Arrays(torch.from_numpy(values.astype(np.float32)), torch.from_numpy(answers))
        parts = [everything.take(part) for part in (train, val, test if len(test) else val)]
        return Splits(*parts)

    def numbers(self, targets: torch.Tensor) -> torch.Tensor:
        """Convert targets or predictions of numbers to the table's unit, after `setup()`."""
        return targets * self._scale + self._offset

    def _remark(self, inputs: Inputs, targets: Targets, filled: int, parts: Sequence[int]) -> None:
        numbers, texts = inputs.columns
        kinds = [f"{counted(numbers, 'column')} of numbers"] if numbers else []
        kinds += [f"{counted(texts, 'column')} of categories"] if texts else []
        of_test = f" and {parts[2]} for the test" if parts[2] else "; the test part is the validation part"
        of_target = (
            named_classes(targets.classes) if targets.classes else f"{self.columns.target} is a number to predict"
        )
        remarks = [
            of_target,
            f"{counted(sum(parts), 'row')} of {' and '.join(kinds)}, {len(inputs.numbers)} inputs",
            f"{parts[0]} rows for training, {parts[1]} for validation{of_test}",
        ]
        remarks += [f"{counted(filled, 'missing number')} filled with the column's median"] if filled else []
        remarks += [f"ignored {inputs.ignored}, which has no name and counts the rows"] if inputs.ignored else []
        self.remark = f"{self.title}: {'; '.join(remarks)}"


def _standardized(inputs: Inputs, train: np.ndarray) -> tuple[np.ndarray, int]:
    """Numbers with mean 0 and deviation 1 in the training part, categories unchanged; how many cells were filled."""
    values = inputs.values.copy()
    missing = np.isnan(values)
    for feature in np.flatnonzero(inputs.numbers):
        column, gone = values[:, feature], missing[:, feature]
        known = column[train][~gone[train]]
        if gone.any():
            column[gone] = np.median(known if len(known) else column[~gone])
        centre, width = column[train].mean(), column[train].std()
        values[:, feature] = (column - centre) / (width if width > 0 else 1.0)
    return values, int(missing.sum())
