"""The axes along which settings differ: penalty strength, dropout rate, bound and seed."""

from __future__ import annotations

import math
from dataclasses import dataclass

from regtorch.plot.labels import AXIS_LABELS

__all__ = ["AXES", "STRENGTHS", "SweepAxis"]


@dataclass(frozen=True)
class SweepAxis:
    """A number that settings vary."""

    name: str  # as in `path.lams` and `search.lam`
    key: str  # in the config of train.py
    label: str  # in plots and headings
    most: float = math.inf  # the largest value allowed; the smallest is 0
    log: bool = False  # whether plots along it are logarithmic

    @property
    def values_key(self) -> str:
        """The key of path.py's config that lists its values."""
        return f"path.{self.name}s"


AXES = {
    axis.name: axis
    for axis in (
        SweepAxis("lam", "reg.lam", AXIS_LABELS["lam"], log=True),
        SweepAxis("rate", "reg.rate", AXIS_LABELS["rate"], most=1.0),
        SweepAxis("max_value", "constraint.max_value", AXIS_LABELS["max_value"]),
        SweepAxis("seed", "seed", AXIS_LABELS["seed"], most=2**32 - 1),  # NumPy's range
    )
}
"""By short name."""

STRENGTHS = {axis.key: axis for axis in AXES.values() if axis.name != "seed"}
"""The axes that regularize, by key."""
