"""Histories from files and objects of every kind."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from regtorch.checks import ArgumentTypeError, shown
from regtorch.doctor.history.events import event_files, event_rows
from regtorch.doctor.history.history import History
from regtorch.doctor.history.names import is_curve, meaning
from regtorch.doctor.history.pasted import drawn_rows, logged_rows
from regtorch.doctor.history.printed import printed_rows, printed_samples
from regtorch.doctor.history.rows import MOST_ROWS, Row, histories

__all__ = ["histories_of"]

_MOST = 2**28  # bytes of a file
_EXPECTED = (
    "a run's folder, a file (metrics.csv, a CSV log, JSON, trainer_state.json, TensorBoard's events, printed "
    "progress), a mapping of lists, or a list of mappings"
)
# Files of a folder, the first that there is counts.
_IN_FOLDER = ("csv/metrics.csv", "metrics.csv", "trainer_state.json", "history.json", "training.log", "history.csv")


def histories_of(source: Any) -> list[History]:
    """The trainings of a source.

    Raises:
        TypeError: the source is of no kind that can be read.
        ValueError: it cannot be read, or holds no curves.
        FileNotFoundError: there is no such file.
    """
    if isinstance(source, str | os.PathLike):
        return _of_path(source)
    if isinstance(source, Mapping):
        return _of_mapping(source, "history")
    inner = getattr(source, "history", None)  # Keras's History
    if isinstance(inner, Mapping):
        return _of_mapping(inner, "history")
    logged = getattr(getattr(source, "state", source), "log_history", None)  # a Trainer, or its state
    if isinstance(logged, list):
        return _of_logs(logged, "log_history")
    if callable(getattr(source, "to_dict", None)) and hasattr(source, "columns"):  # a DataFrame
        return histories(_records(source.to_dict("records"), "history"), "history")
    if isinstance(source, Sequence) and not isinstance(source, bytes | bytearray):
        return histories(_records(source, "history"), "history")
    raise ArgumentTypeError(f"read_history: source must be {_EXPECTED}, received {shown(source)}")


def _of_path(source: str | os.PathLike[str]) -> list[History]:
    if isinstance(source, str) and ("\n" in source or len(source) > 4000):
        return _of_text(source, "text")
    path = Path(source)
    try:
        if path.is_dir():
            return _of_folder(path)
        content = _content(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"read_history: source must be {_EXPECTED}; there is no file {str(path)!r}") from None
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from None
    if "tfevents" in path.name:
        return histories(event_rows([path]), str(path))
    if content[:1] == b"\x80" or path.suffix in (".pkl", ".pickle") or content[:6] == b"\x93NUMPY":
        raise ValueError(
            f"{path}: a pickle may run any code, so it is not read; save the history by json.dump(history.history, "
            "open('history.json', 'w'), default=float)"
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected UTF-8 text, received byte {error.start} of something else") from None
    return _of_text(text, str(path))


def _content(path: Path) -> bytes:
    # Opening a pipe would block until another process writes into it.
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError(f"{path}: expected a regular file or a folder")
        content = file.read(_MOST + 1)
    if len(content) > _MOST:
        raise ValueError(f"{path}: expected at most {_MOST:,} bytes, received more")
    return content


def _of_folder(folder: Path) -> list[History]:
    for name in _IN_FOLDER:
        if (folder / name).is_file():
            return _of_path(folder / name)
    if files := event_files(folder):
        return histories(event_rows(files), str(folder))
    raise ValueError(
        f"{folder}: expected one of {', '.join(_IN_FOLDER)}, or TensorBoard's events, received none of them"
    )


def _of_text(text: str, source: str) -> list[History]:
    start = text.lstrip()[:1]
    if not start:
        raise ValueError(f"{source}: expected curves, received nothing")
    if start in "{[":
        try:
            return _of_json(json.loads(text, parse_int=float), source)
        except RecursionError:
            raise ValueError(f"{source}: expected a mapping of lists, received JSON that is too deep") from None
        except json.JSONDecodeError as error:
            if not any(printed_rows(text)) and not logged_rows(text):  # a bar may begin with a bracket
                raise ValueError(f"{source}: expected JSON: {error}") from None
    if logs := logged_rows(text):
        return _of_logs(logs, source)
    if table := drawn_rows(text):
        return histories(table, source)
    first = text.lstrip().splitlines()[0]
    delimiter = max(",;\t", key=first.count)
    columns = [meaning(name) for name in first.split(delimiter) if not any(sign in name for sign in ":=[")]
    if delimiter in first and any(column is not None and is_curve(column) for column in columns):
        return histories(_table(text.lstrip(), delimiter, source), source)
    return histories(list(printed_rows(text)) or _none_printed(source), source, val_samples=printed_samples(text))


def _none_printed(source: str) -> list[Row]:
    raise ValueError(
        f"{source}: expected a CSV file with columns such as epoch, loss and val_loss, JSON, a table, or progress "
        "such as 'Epoch 1/3 … loss: 1.2 - val_loss: 1.3', received other text"
    )


def _table(text: str, delimiter: str, source: str) -> Iterator[Row]:
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        header = [name.strip() for name in next(rows)]
        for row in rows:
            if len(row) > len(header):
                raise ValueError(f"{source}: line {rows.line_num}: expected {len(header)} columns, received {len(row)}")
            yield dict(zip(header, row, strict=False))
    except csv.Error as error:
        raise ValueError(f"{source}: line {rows.line_num}: {error}") from None


def _of_json(value: Any, source: str) -> list[History]:
    if isinstance(value, dict):
        if isinstance(logged := value.get("log_history"), list):
            return _of_logs(logged, source)
        inner = value.get("history")
        return _of_mapping(inner if isinstance(inner, dict) else value, source)
    rows: list[Any] = value if isinstance(value, list) else []
    return histories(_records(rows, source), source)


def _of_logs(logs: Sequence[Any], source: str) -> list[History]:
    """Hugging Face's logs; their last row has means over the whole training."""
    rows = [row for row in _records(logs, source) if "train_runtime" not in row]
    return histories(rows, source)


def _records(rows: Sequence[Any], source: str) -> Iterator[Row]:
    for number, row in enumerate(rows, 1):
        if not isinstance(row, Mapping):
            raise ValueError(
                f"{source}: row {number}: expected a mapping of names to numbers, received {shown(row)}; pass "
                "series by name, {'loss': […], 'val_loss': […]}"
            )
        yield row


def _of_mapping(columns: Mapping[Any, Any], source: str) -> list[History]:
    """Lists by name, as Keras's `history.history`; validated every k-th epoch, those of validation are shorter."""
    lists: dict[str, Sequence[Any]] = {}
    for name, column in columns.items():
        values = column.tolist() if callable(getattr(column, "tolist", None)) else column
        if meaning(str(name)) is None:
            continue
        if isinstance(values, str | bytes) or not isinstance(values, Sequence):
            raise ValueError(f"{source}: {name!r}: expected a list of numbers, received {shown(column)}")
        lists[str(name)] = values
    if not lists:
        raise ValueError(f"{source}: expected lists such as loss, val_loss and accuracy, received none")
    length = max(map(len, lists.values()))
    if length > MOST_ROWS:
        raise ValueError(f"{source}: expected at most {MOST_ROWS:,} epochs, received {length:,}")
    rows: list[dict[str, Any]] = [{} for _ in range(length)]
    for name, values in lists.items():
        every = _every(name, len(values), length, source) if values else 1
        for number, value in enumerate(values, 1):
            rows[number * every - 1][name] = value
    if all("epoch" not in row for row in rows):
        rows = [{"epoch": number, **row} for number, row in enumerate(rows, 1)]
    return histories(rows, source)


def _every(name: str, count: int, length: int, source: str) -> int:
    every = length // count
    column = meaning(name)
    if count == length or (column is not None and column.stage == "val" and length // every == count):
        return every
    raise ValueError(
        f"{source}: {name!r}: expected {length} values, as the longest list has, or one for every k-th epoch of "
        f"validation, received {count}"
    )
