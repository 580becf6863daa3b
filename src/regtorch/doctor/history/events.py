"""TensorBoard's event files, of Keras, Lightning and others."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from regtorch.doctor.history.rows import MOST_ROWS, Row
from regtorch.extras import needed_by

__all__ = ["event_files", "event_rows"]

_MOST = 200  # files
_STAGES = {"train": "train", "training": "train", "validation": "val", "val": "val", "eval": "val", "test": "test"}


def event_files(folder: Path) -> list[Path]:
    """The event files of a folder and those below it."""
    found = sorted(path for path in folder.rglob("*tfevents*") if path.is_file())
    if len(found) > _MOST:
        raise ValueError(f"{folder}: expected at most {_MOST} event files, received {len(found)}; name one training's")
    return found


def event_rows(paths: Sequence[Path]) -> list[Row]:
    """A row for each step.

    Raises:
        ModuleNotFoundError: tensorboard is not installed.
        ValueError: a file is no event file, or two files have different values at a step.
    """
    with needed_by("read_history of TensorBoard's event files"):
        loader: Any = import_module("tensorboard.backend.event_processing.event_file_loader").EventFileLoader
        array: Any = import_module("tensorboard.util.tensor_util").make_ndarray
    rows: dict[int, dict[str, float]] = {}
    count = 0
    for path in paths:
        stage = _STAGES.get(path.parent.name.lower(), "")
        try:
            events = list(loader(str(path)).Load())
        except Exception as error:  # what a damaged record raises differs by version
            raise ValueError(f"{path}: expected an event file of TensorBoard: {error}") from None
        for event in events:
            for value in event.summary.value:
                number = _scalar(value, array)
                if number is None:
                    continue
                count += 1
                if count > MOST_ROWS:
                    raise ValueError(f"{path}: expected at most {MOST_ROWS:,} values, received more")
                _put(rows, int(event.step), value.tag, stage, number, path)
    return [{"step": step, **row} for step, row in sorted(rows.items())]


def _put(rows: dict[int, dict[str, float]], step: int, tag: str, stage: str, number: float, path: Path) -> None:
    row = rows.setdefault(step, {})
    name = tag
    if tag.startswith("epoch_"):  # Keras counts epochs as steps
        name, row["epoch"] = tag.removeprefix("epoch_"), step
    elif tag.startswith("evaluation_"):  # Keras, by iteration
        return
    name = f"{stage}_{name}" if stage and not name.startswith(tuple(_STAGES)) and "learning_rate" not in name else name
    if row.setdefault(name, number) != number and number == number:
        raise ValueError(f"{path}: {tag!r} has several values at step {step}; name the event files of one training")


def _scalar(value: Any, array: Any) -> float | None:
    if value.HasField("simple_value"):
        return float(value.simple_value)
    if not value.HasField("tensor"):
        return None
    try:
        found = array(value.tensor)
        return float(found.reshape(())) if found.size == 1 and found.dtype.kind in "fiu" else None
    except (TypeError, ValueError):
        return None
