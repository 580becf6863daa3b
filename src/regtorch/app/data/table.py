"""Read a table of text: its delimiter, its header and its columns."""

import csv
import io
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from regtorch.app.data.archives import gunzipped
from regtorch.app.data.data_errors import DataError
from regtorch.counted import counted

__all__ = ["DELIMITERS", "Table", "as_number", "read_table"]

DELIMITERS = (",", ";", "\t", "|")
_LOOKED_AT = 20  # rows by which the delimiter is found


class Table(NamedTuple):
    """A table's cells as text, without white space around them.

    Attributes:
        names: The names of the columns, of the header or "column 1" and so on.
        columns: The cells of each column.
        lines: The line of the file in which each row ends.
        header: Whether the first row has the names.
    """

    names: tuple[str, ...]
    columns: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]
    header: bool


def read_table(path: Path, delimiter: str | None = None, known: Sequence[str] = ()) -> Table:
    """Read a .csv, which may be gzipped.

    The first row is the header if it has a name of `known`, or no number.

    Args:
        path: The file, UTF-8.
        delimiter: What separates the cells; None finds it.
        known: Names of columns.

    Raises:
        DataError: There is no such file, it is not a table of text, or its rows have different lengths.
    """
    text = _text(path)
    delimiter = delimiter or _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                rows.append(cells)
                lines.append(reader.line_num)
                _check_length(path, cells, rows[0], reader.line_num, delimiter)
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}; save it again as CSV.") from error
    if not rows:
        raise DataError(f"{path}: it is empty; expected a row for each sample.")
    first = rows[0]
    header = any(name in first for name in known) or not any(as_number(cell) is not None for cell in first)
    names = tuple(cell if header and cell else f"column {at}" for at, cell in enumerate(first, start=1))
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{path}: its header has {twice[0]!r} twice; give each column its own name.")
    if len(rows) == header:
        raise DataError(f"{path}: it has a header and no rows; expected a row for each sample.")
    return Table(names, tuple(zip(*rows[header:], strict=True)), tuple(lines[header:]), header)


def as_number(cell: str, *, comma: bool = False) -> float | None:
    """The number that a cell says, or None; `comma`: with a decimal comma."""
    try:
        return float(cell.replace(",", ".") if comma else cell)
    except ValueError:
        return None


def _text(path: Path) -> str:
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "is not there"
        raise DataError(f"{path} {what}; name your table with data.file=table.csv.")
    with path.open("rb") as file:
        start = file.read(4)
    if start.startswith((b"PK", b"\xd0\xcf")):
        raise DataError(f"{path} is a spreadsheet or an archive, not text; save the table as CSV.")
    content = gunzipped(path) if start.startswith(b"\x1f\x8b") else path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, line {line}: it is not UTF-8; save it as such (in a spreadsheet: CSV UTF-8)."
        ) from error


def _delimiter(text: str) -> str:
    """The one that cuts most of the first rows into as many cells as the first, which are two or more.

    A comma that cuts as well as another one is a decimal comma.
    """

    def cuts(delimiter: str) -> tuple[bool, int, bool, int]:
        reader = csv.reader(io.StringIO(text[: 2**20], newline=""), delimiter=delimiter, skipinitialspace=True)
        counts: list[int] = []
        with suppress(csv.Error):  # the reader of all says where
            counts += [len(row) for row in islice((row for row in reader if any(row)), _LOOKED_AT)]
        first = counts[0] if counts else 0
        return first > 1, counts.count(first), delimiter != ",", first

    return max(DELIMITERS, key=cuts)


def _check_length(path: Path, row: Sequence[str], first: Sequence[str], line: int, delimiter: str) -> None:
    if len(row) != len(first):
        raise DataError(
            f"{path}, line {line}: expected {counted(len(first), 'cell')} as in the first row, found {len(row)}, "
            f"separated by {delimiter!r}; repair the line, or set data.delimiter."
        )
    if len(row) < 2:
        raise DataError(
            f"{path}: found one column; expected columns of inputs and one of targets, separated by a comma, "
            "semicolon, tab or bar."
        )
