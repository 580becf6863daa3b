"""The numbers of a table: columns of numbers and of categories as inputs, one column as the targets."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from regtorch.app.data.data_errors import DataError
from regtorch.app.data.table import Table, as_number
from regtorch.counted import counted

__all__ = ["MOST_CLASSES", "Inputs", "Targets", "inputs_of", "position", "targets_of"]

MOST_CLASSES = 20
"""The most different whole numbers that are classes; more are numbers to predict."""
_ROWS_A_CLASS = 5  # the fewest, on average, of whole numbers that are classes
_MOST_CATEGORIES = 50
_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})


class Inputs(NamedTuple):
    """The inputs of all rows.

    Attributes:
        values: (N, features), float64; NaN where a number is missing.
        numbers: (features,), whether a feature is a number, not 0 or 1 of a category.
        columns: How many columns of numbers, and how many of categories.
        ignored: The unnamed column that only numbers the rows, or "".
    """

    values: np.ndarray
    numbers: np.ndarray
    columns: tuple[int, int]
    ignored: str


class Targets(NamedTuple):
    """The targets of all rows.

    Attributes:
        values: (N,), int64 classes, or (N, 1), float64.
        classes: The classes' names; empty for numbers.
    """

    values: np.ndarray
    classes: tuple[str, ...]


class _Column(NamedTuple):
    place: str  # the file
    name: str
    cells: Sequence[str]
    lines: Sequence[int]

    def here(self, row: int) -> str:
        return f"{self.place}, line {self.lines[row]}, column {self.name}"


def position(table: Table, place: str, column: str | int, key: str) -> int:
    """The position of a column by its name, or by its number from 1, from the end if it is negative.

    Raises:
        DataError: There is no such column; the message names `key`, the setting.
    """
    if str(column) in table.names:
        return table.names.index(str(column))
    count = len(table.names)
    if isinstance(column, int) and column != 0 and -count <= column <= count:
        return column - 1 if column > 0 else count + column
    what = f"{place} has {', '.join(table.names[:20])}{' …' * (count > 20)}"
    without = "" if table.header else " (its first row has a number, so it is no header: give a column's number)"
    raise DataError(
        f"{key}: expected a column's name, or its number from 1 to {count}, received {column!r}; {what}{without}."
    )


def inputs_of(table: Table, place: str, left_out: Sequence[int], *, fill: bool) -> Inputs:
    """The inputs: a column of numbers is a feature, a column of text one feature of 0 and 1 for each category.

    Args:
        table: The table.
        place: The file, for messages.
        left_out: The positions of other columns.
        fill: Whether missing numbers become NaN and missing texts a category of their own; otherwise they are refused.

    Raises:
        DataError: A cell is missing or not finite, or a column has too many categories.
    """
    features: list[np.ndarray] = []
    kinds: list[bool] = []
    columns, ignored = [0, 0], ""
    for at, (name, cells) in enumerate(zip(table.names, table.columns, strict=True)):
        column = _Column(place, name, cells, table.lines)
        if at in left_out:
            continue
        if table.header and name == f"column {at + 1}" and _counts_rows(cells):
            ignored = name
            continue
        missing = [cell.lower() in _MISSING for cell in cells]
        if any(missing) and not fill:
            row = missing.index(True)
            count = counted(sum(missing), "cell")
            raise DataError(
                f"{column.here(row)}: the cell is empty or says it is missing, as {count} of the column; fill it, fill "
                f"all with data.on_missing=fill, or leave the column out with 'data.ignore=[{name}]'."
            )
        numbers = _numbers(column, missing)
        found = [numbers] if numbers is not None else [*_categories(column, missing)]
        columns[numbers is None] += 1
        features += found
        kinds += [numbers is not None] * len(found)
    if not features:
        raise DataError(f"{place}: no column is left as input; expected one besides the target.")
    return Inputs(np.stack(features, axis=1), np.array(kinds), (columns[0], columns[1]), ignored)


def targets_of(table: Table, place: str, at: int, num_classes: int | str | None = "found") -> Targets:
    """The targets: text is classes, few different whole numbers are classes, other numbers are to be predicted.

    Args:
        table: The table.
        place: The file, for messages.
        at: The position of the column.
        num_classes: The number of classes, None for numbers to predict, "found" for what the column says.

    Raises:
        DataError: A cell is missing, there is one class alone, or as many as rows.
    """
    column = _Column(place, table.names[at], table.columns[at], table.lines)
    missing = [cell.lower() in _MISSING for cell in column.cells]
    if any(missing):
        count = counted(sum(missing), "row")
        raise DataError(f"{column.here(missing.index(True))}: the target is missing, as in {count}; remove such rows.")
    if num_classes is None or num_classes == "found":
        numbers = _numbers(column, missing)
        if numbers is None and num_classes is None:
            row = next(row for row, cell in enumerate(column.cells) if as_number(cell) is None)
            raise DataError(
                f"{column.here(row)}: expected a number to predict (data.num_classes=null), found "
                f"{column.cells[row]!r}; leave data.num_classes out for classes."
            )
        if numbers is not None and (num_classes is None or not _are_classes(numbers)):
            if numbers.min() == numbers.max():
                raise DataError(
                    f"{place}, column {column.name}: all targets are {numbers[0]:g}; nothing can be learned."
                )
            return Targets(numbers[:, None], ())
    names = sorted({*column.cells}, key=lambda cell: (as_number(cell) is None, as_number(cell) or 0.0, cell))
    if len(names) < 2 or len(names) == len(column.cells) > 2:
        why = f"one class alone, {names[0]}" if len(names) < 2 else f"another text in each of {len(names)} rows"
        raise DataError(f"{place}, column {column.name}: found {why}; expected two classes or more with several rows.")
    if num_classes not in ("found", None, len(names)):
        raise DataError(
            f"{place}, column {column.name}: found {len(names)} classes ({', '.join(names[:10])}), num_classes is "
            f"{num_classes}; set data.num_classes={len(names)}, or leave it out."
        )
    numbered = {name: number for number, name in enumerate(names)}
    return Targets(np.array([numbered[cell] for cell in column.cells], dtype=np.int64), tuple(names))


def _are_classes(numbers: np.ndarray) -> bool:
    different = len(np.unique(numbers))
    whole = bool((numbers == numbers.round()).all())
    return whole and different <= MOST_CLASSES and different * _ROWS_A_CLASS <= len(numbers)


def _numbers(column: _Column, missing: Sequence[bool]) -> np.ndarray | None:
    """The numbers of a column, NaN where one is missing; None for a column of text."""
    for comma in (False, True):
        found = [
            None if gone else as_number(cell, comma=comma) for cell, gone in zip(column.cells, missing, strict=True)
        ]
        wrong = [row for row, number in enumerate(found) if number is None and not missing[row]]
        if not wrong:
            break
    else:
        if len(wrong) * 2 < len(found) - sum(missing):
            raise DataError(
                f"{column.here(wrong[0])}: expected a number as in most rows, found {column.cells[wrong[0]]!r}; repair "
                f"it, or leave the column out with 'data.ignore=[{column.name}]'."
            )
        return None
    numbers = np.array([np.nan if number is None else number for number in found], dtype=np.float64)
    if np.isnan(numbers).all():
        raise DataError(f"{column.place}, column {column.name}: every cell is missing; leave it out with data.ignore.")
    if np.isinf(numbers).any() or (np.abs(numbers[~np.isnan(numbers)]) > np.finfo(np.float32).max).any():
        row = int((np.isinf(numbers) | (np.abs(numbers) > np.finfo(np.float32).max)).argmax())
        raise DataError(f"{column.here(row)}: expected a number in float32's range, found {column.cells[row]}.")
    return numbers


def _categories(column: _Column, missing: Sequence[bool]) -> Iterator[np.ndarray]:
    cells = ["" if gone else cell for cell, gone in zip(column.cells, missing, strict=True)]
    names = sorted({*cells})
    if len(names) > _MOST_CATEGORIES or len(names) == len(cells) > 2:
        raise DataError(
            f"{column.place}, column {column.name}: {len(names)} different texts in {len(cells)} rows, such as "
            f"{names[0] or names[1]!r}; expected numbers, or at most {_MOST_CATEGORIES} categories that recur; leave "
            f"it out with 'data.ignore=[{column.name}]'."
        )
    for name in names:
        yield np.array([cell == name for cell in cells], dtype=np.float64)


def _counts_rows(cells: Sequence[str]) -> bool:
    return any([*cells] == [str(row) for row in range(first, first + len(cells))] for first in (0, 1))
