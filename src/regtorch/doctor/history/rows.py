"""Rows of named values, as files and lists hold them, into histories: one for each training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from regtorch.checks import shown
from regtorch.doctor.history.history import History, thinned
from regtorch.doctor.history.names import Column, is_curve, meaning_beside

__all__ = ["MOST_ROWS", "Row", "histories", "value_of"]

Row = Mapping[str, Any]
MOST_ROWS = 1_500_000
_MOST_COLUMNS = 10_000
_LARGEST = 1e100  # larger numbers are infinite, and those below its inverse are 0: sums and ratios stay finite
_PERCENT = 1.5, 100.0  # an accuracy whose largest value lies between is in percent


def histories(rows: Iterable[Row], source: str, **known: int | None) -> list[History]:
    """The trainings that rows hold; a new one begins where epochs, or else steps, begin anew.

    Several values of an epoch are averaged, unless the epoch has a value of its own beside those of steps. Where epochs
    are fractions, or only steps are counted, an epoch ends at each validation.

    Raises:
        ValueError: a value that is no number, places that go back, or rows without a loss and an accuracy.
    """
    cells = [row for row in _read(rows, source) if row]
    key = next((place for place in _PLACES if any(place in row for row in cells)), None)
    parts = _trainings(cells, key, source)
    unit = "epoch" if key is None else key.quantity
    found = [_history(part, unit, source, known) for part in parts]
    found = [history for history in found if history.epochs]  # rows of a test alone have none
    if not found:
        raise ValueError(f"{source}: expected at least one epoch of training or validation, received none")
    return found


def value_of(value: object, place: str) -> float | None:
    """A number; None for an empty cell.

    Raises:
        ValueError: it is something else.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        if isinstance(value, bool | bytes):
            raise TypeError
        number = float(value)  # pyright: ignore[reportArgumentType] (0-dim tensors and arrays too)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise ValueError(f"{place}: expected a number, received {shown(value)}") from None
    if abs(number) < 1 / _LARGEST:
        return 0.0
    return number if abs(number) <= _LARGEST or math.isnan(number) else math.copysign(math.inf, number)


Cells = dict[Column, float]
_PLACES = Column("place", "epoch"), Column("place", "step")


def _read(rows: Iterable[Row], source: str) -> Iterable[Cells]:
    """The cells with a meaning."""
    meanings: dict[str, Column | None] = {}
    seen = False
    for number, row in enumerate(rows, 1):
        if number > MOST_ROWS or len(meanings) > _MOST_COLUMNS:
            raise ValueError(f"{source}: expected at most {MOST_ROWS:,} rows and {_MOST_COLUMNS:,} columns, got more")
        cells: Cells = {}
        for name, value in row.items():
            if name not in meanings:
                meanings[name] = meaning_beside(str(name), map(str, row))
            column = meanings[name]
            if column is None:
                continue
            try:
                found = value_of(value, f"{source}: row {number}, {name!r}")
            except ValueError:
                if is_curve(column):
                    raise
                continue  # some other column, such as a run's name
            if found is not None:
                cells[column] = found
        seen = seen or any(column.quantity in ("loss", "task_loss", "accuracy") for column in cells)
        yield cells
    if not seen:
        named = ", ".join(list(map(str, meanings))[:8]) or "none"
        raise ValueError(f"{source}: expected columns such as loss, val_loss and accuracy, received {named}")


def _trainings(rows: Sequence[Cells], key: Column | None, source: str) -> list[list[tuple[float, Cells]]]:
    """Rows with their places. Rows without one, such as rates in a file of Lightning's, belong to the next."""
    trainings: list[list[tuple[float, Cells]]] = []
    waiting: list[Cells] = []
    for number, cells in enumerate(rows, 1):
        place = cells.get(key) if key is not None else float(number)
        values = {column: value for column, value in cells.items() if column.stage != "place"}
        if not values:
            continue
        if place is None:
            waiting.append(values)
            continue
        if not math.isfinite(place) or abs(place) > 1e15:
            raise ValueError(f"{source}: row {number}, epoch or step: expected a finite number, received {place!r}")
        if trainings and place < (last := trainings[-1][-1][0]):
            if place > trainings[-1][0][0]:
                raise ValueError(
                    f"{source}: epochs and steps must not go back, received {place:g} after {last:g} in row {number}; "
                    "keep the rows of one training"
                )
            trainings.append([])
        elif not trainings:
            trainings.append([])
        trainings[-1] += [(place, part) for part in (*waiting, values)]
        waiting = []
    if waiting and trainings:
        trainings[-1] += [(trainings[-1][-1][0], part) for part in waiting]
    return trainings


def _history(rows: Sequence[tuple[float, Cells]], unit: str, source: str, known: Mapping[str, int | None]) -> History:
    places = _epochs([place for place, _ in rows], rows)
    own = {column for _, cells in rows for column in cells if not column.of_steps}
    found: dict[str, dict[str, dict[float, list[float]]]] = {}
    for (_, cells), epoch in zip(rows, places, strict=True):
        for column, value in cells.items():
            if column.of_steps and column._replace(of_steps=False) in own:
                continue
            values = found.setdefault(column.stage, {}).setdefault(column.quantity, {}).setdefault(epoch, [])
            values.append(value)
    series = {
        stage: {
            quantity: _scaled(
                quantity, {epoch: math.fsum(v) / len(v) if len(v) > 1 else v[0] for epoch, v in by.items()}
            )
            for quantity, by in quantities.items()
        }
        for stage, quantities in found.items()
    }
    val = series.get("val") or {name: points for name, points in series.get("test", {}).items() if len(points) > 1}
    return thinned(
        History(series.get("train", {}), val, series.get("lr", {}).get("lr", {}), unit=unit, source=source, **known)
    )


def _epochs(places: Sequence[float], rows: Sequence[tuple[float, Cells]]) -> list[float]:
    """The epoch of each row, counted from 1 where a source counts from 0."""
    whole = all(place.is_integer() for place in places)
    dense = whole and places[-1] - places[0] < 2 * len(set(places))
    validated = sorted({place for place, cells in rows if any(column.stage == "val" for column in cells)})
    if dense or not validated:
        first = 1.0 if whole and places[0] == 0 else 0.0
        return [place + first for place in places]
    epochs, number = [], 0
    for place in places:
        while number < len(validated) - 1 and place > validated[number]:
            number += 1
        epochs.append(validated[number] if place <= validated[number] else place)
    return epochs


def _scaled(quantity: str, points: dict[float, float]) -> dict[float, float]:
    """An accuracy as a share, also if the source has percent."""
    if quantity != "accuracy" or not points or not _PERCENT[0] < max(points.values()) <= _PERCENT[1]:
        return points
    return {epoch: value / 100 for epoch, value in points.items()}
