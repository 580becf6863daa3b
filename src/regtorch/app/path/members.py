"""The members of a path: every combination of its strengths, rates, bounds and seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from omegaconf import DictConfig

from regtorch.app.ground.errors import RunError
from regtorch.app.record.axes import AXES
from regtorch.app.record.ranges import MOST, numbers, whole_numbers

__all__ = ["Member", "members_of", "varied"]


@dataclass(frozen=True)
class Member:
    """One combination of values."""

    number: int  # from 0, in grid order
    values: Mapping[str, Any]  # by axis name; other axes keep the config's value

    @property
    def overrides(self) -> list[str]:
        """Overrides of train.py to run it alone, in addition to those of the path."""
        return [f"{AXES[axis].key}={value!r}" for axis, value in self.values.items()]

    @property
    def label(self) -> str:
        return " ".join(f"{axis}={value:.4g}" for axis, value in self.values.items())


def members_of(cfg: DictConfig) -> list[Member]:
    """All combinations of `path.lams`, `path.rates`, `path.max_values` and `path.seeds`; seeds vary fastest."""
    axes: dict[str, Sequence[Any]] = {}
    for name, axis in AXES.items():
        key = axis.values_key
        given = cfg.path[key.removeprefix("path.")]
        if given is not None and name == "seed":
            axes[name] = whole_numbers(key, given, most=axis.most)
        elif given is not None:
            axes[name] = numbers(key, given, most=axis.most, fractions=name == "lam")
    if not axes:
        raise RunError("a path needs values to vary: path.lams=log:1e-6:1:32, path.rates, path.max_values, path.seeds")
    if math.prod(map(len, axes.values())) > MOST:
        sizes = " × ".join(f"{len(values):,} {AXES[axis].values_key}" for axis, values in axes.items())
        raise RunError(f"a path has at most {MOST:,} members, received {sizes}; give fewer values")
    grid = (dict(zip(axes, values, strict=True)) for values in product(*axes.values()))
    return [Member(number, values) for number, values in enumerate(grid)]


def varied(members: Sequence[Member]) -> list[str]:
    """The axes in which members differ."""
    return [axis for axis in members[0].values if len({member.values[axis] for member in members}) > 1]
