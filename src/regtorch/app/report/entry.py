"""Entries of the report: trained nets, and runs without a result."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regtorch.app.ground.errors import DIVERGED
from regtorch.app.record.axes import STRENGTHS
from regtorch.app.record.json_file import number
from regtorch.app.record.overrides import OWN_DATA, measured, parse, relevant, spelled
from regtorch.app.record.results import Run

__all__ = ["Entry", "Lost", "entry_of"]

_RULES = ("reg", "constraint", "optimizer")


@dataclass(frozen=True)
class Entry:
    """A net trained once: a run, a member of a path or a trial of a search."""

    name: str  # its place in the report's folder
    run: Run
    # the setting by key: overrides and what they resolve to, without idle strengths, model and data
    values: Mapping[str, str]
    seed: int | None
    along: Mapping[str, float]  # value on each axis that applies
    ended: float  # modification time of its summary, in seconds since the epoch
    searched: bool = False  # whether it is a trial of a search

    def best(self, metric: str) -> float | None:
        """A metric after the best epoch, or else after the last; NaN if it was not finite, None if absent."""
        best = self.run.record.best or {}
        if metric not in best:
            return self.run.final(metric)
        return math.nan if best[metric] is None else number(best[metric])

    @property
    def net(self) -> str:
        """The option of `model`, or the class that replaces its net."""
        target = self.run.record.setting("model.net._target_")
        own = isinstance(target, str) and not target.startswith("regtorch.")
        return str(target) if own else self.values.get("model.net._target_", self.choice("model"))

    @property
    def data(self) -> str:
        """The option of `data`, and of the user's own data the file or folder, and the column to predict."""
        option = self.choice("data")
        settings = [self.run.record.setting(f"data.{key}") for key in OWN_DATA.get(option, ())]
        return " ".join([option, ", ".join(str(value) for value in settings if value is not None)]).rstrip()

    def choice(self, group: str) -> str:
        """The option of a config group, such as "model"."""
        chosen = self.run.record.choices.get(group)
        return "unknown" if chosen is None else str(chosen)

    def resolved(self, key: str) -> str | None:
        """The value of a key, by override or by default; None if the summary does not contain it.

        The members of a path share one summary, which does not contain their places on the axes.
        """
        chosen = self.run.record.choices.get(key)
        if chosen is not None:
            return str(chosen)
        value = self.run.record.setting(key, {})
        return None if isinstance(value, Mapping) or key in STRENGTHS else spelled(value)


@dataclass(frozen=True)
class Lost:
    """A run without a result."""

    name: str
    folder: Path
    overrides: Sequence[str]  # empty if unknown
    reason: str
    finished: bool = True  # False if it may still be running

    @property
    def what(self) -> str:
        """Its overrides without those for output folders and display."""
        return " ".join(relevant(self.overrides))

    @property
    def diverged(self) -> bool:
        return DIVERGED in self.reason


def entry_of(name: str, run: Run, ended: float, *, searched: bool = False) -> Entry:
    """The entry of a run."""
    given, record = parse(run.overrides), run.record
    without = ("model", "data", *(["reg.lam"] if record.unpenalised else []))  # without effect there
    values: dict[str, str] = {}
    for key in measured(run.overrides):
        if key not in without:
            values |= _leaves(key, given[key][0])
    # An override that equals the default of another run is the same setting.
    values |= {g: str(option) for g in _RULES if (option := record.choices.get(g)) is not None}
    seed = given["seed"][0] if "seed" in given else record.setting("seed")
    overridden = {key: given[key][0] for key in STRENGTHS if key in given}
    along = {key: value for key, value in record.strengths(overridden).items() if math.isfinite(value)}
    values = {key: text for key, text in values.items() if overridden.get(key, 0) is not None}  # null: not set
    values |= {key: f"{value:g}" for key, value in along.items()}
    return Entry(name, run, values, seed if type(seed) is int else None, along, ended, searched)


def _leaves(key: str, value: Any) -> dict[str, str]:
    """A mapping as overrides of its leaves."""
    if not isinstance(value, dict):
        return {key: spelled(value)}
    return {leaf: text for name, below in value.items() for leaf, text in _leaves(f"{key}.{name}", below).items()}
