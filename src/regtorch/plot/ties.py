"""Equal results in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from regtorch.counted import counted

__all__ = ["highest", "listed"]

_NAMED = 3  # places


class _Mean(Protocol):
    @property
    def mean(self) -> float: ...
    @property
    def count(self) -> int: ...


def highest(points: Mapping[Any, _Mean]) -> list[Any]:
    """The places of the highest mean, in their order: several are tied; none without finite values."""
    finite = {place: point.mean for place, point in points.items() if point.count}
    top = max(finite.values(), default=0.0)
    return [place for place, mean in finite.items() if mean == top]


def listed(places: Sequence[float]) -> str:
    """Places on an axis, such as "0.001, 0.01 and 0.1"; of many, the first ones and a count."""
    names = [f"{place:g}" for place in places]
    if len(names) > _NAMED + 1:
        names = [*names[:_NAMED], counted(len(names) - _NAMED, "other")]
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
