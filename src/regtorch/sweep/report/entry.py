"""What lies in a folder, in the page's terms: nets that were trained, and what did not come to its end."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from regtorch.sweep.overrides import measured, parse
from regtorch.sweep.results import Run

__all__ = ["AXES", "Entry", "Lost", "entry_of", "node", "number", "telling"]

AXES = {"reg.lam": "strength λ", "reg.rate": "dropout rate", "constraint.max_value": "max-norm bound"}
"""The keys of train.py's config that a path runs along, and what they are called."""
_RULES = ("reg", "constraint", "optimizer")


@dataclass(frozen=True)
class Entry:
    """A net trained once: a run, a member of a path or a trial of a search.

    Attributes:
        name: where it lies, seen from the report's folder.
        run: what it left.
        values: the setting: by key, what its overrides say and which rules and numbers that comes to; without a
            strength where there is no penalty, and without the net and the data.
        seed: of the run.
        along: by axis, its number; an axis that the run does not have is left out.
        norm: the 2-norm of the regularized weights after training, where it is known.
        zeros: the share of exact zeros among them, likewise.
        ended: when its summary was written, in seconds of the epoch.
        searched: whether it is a trial of a search.
    """

    name: str
    run: Run
    values: Mapping[str, str]
    seed: int | None
    along: Mapping[str, float]
    norm: float | None
    zeros: float | None
    ended: float
    searched: bool = False

    def best(self, metric: str) -> float | None:
        """A metric after the best epoch, or else after the last; NaN where it was not finite, None without it."""
        best = node(self.run.summary, "best")
        if not isinstance(best, dict) or metric not in best:
            return self.run.final(metric)
        return math.nan if best[metric] is None else number(best[metric])

    def choice(self, group: str) -> str:
        """The option of a config group, such as "model"."""
        chosen = node(self.run.summary, "choices", group)
        return "unknown" if chosen is None else str(chosen)


@dataclass(frozen=True)
class Lost:
    """What has no result.

    Attributes:
        name: where it lies.
        what: its overrides, in words.
        reason: why, in a line.
        finished: False where it may still be running.
    """

    name: str
    what: str
    reason: str
    finished: bool = True


def entry_of(
    name: str,
    run: Run,
    ended: float,
    *,
    norm: float | None = None,
    zeros: float | None = None,
    searched: bool = False,
) -> Entry:
    """An entry from what a run left.

    Raises:
        ValueError: its overrides are none.
    """
    given = parse(run.overrides)
    unpenalised = _unpenalised(run.summary)
    without = ("model", "data", *(["reg.lam"] if unpenalised else []))  # a strength changes nothing there
    values = {key: value for key, value in measured(run.overrides).items() if key not in without}
    # What one run says and another leaves to the defaults is the same setting.
    values |= {g: str(option) for g in _RULES if (option := node(run.summary, "choices", g)) is not None}
    seed = given["seed"][0] if "seed" in given else node(run.summary, "config", "seed")
    along = {}
    for axis in AXES:
        group, _, key = axis.partition(".")
        value = given[axis][0] if axis in given else node(run.summary, "config", group, key)
        there = not unpenalised if axis == "reg.lam" else axis in given or axis == "reg.rate"
        if there and (found := number(value)) is not None and math.isfinite(found):
            along[axis] = found
            values[axis] = f"{found:g}"
    norm = number(node(run.summary, "regularized", "norm")) if norm is None else norm
    zeros = _zeros(node(run.summary, "regularized", "zeros")) if zeros is None else zeros
    whole = seed if isinstance(seed, int) and not isinstance(seed, bool) else None
    return Entry(name, run, values, whole, along, norm, zeros, ended, searched)


def _unpenalised(summary: Mapping[str, Any]) -> bool:
    reg = node(summary, "config", "reg")
    return isinstance(reg, dict) and "penalty" in reg and reg["penalty"] is None


def _zeros(shares: Any) -> float | None:
    """The mean over weights, as a summary has no sizes."""
    found = [share for share in map(number, shares.values()) if share is not None] if isinstance(shares, dict) else []
    return sum(found) / len(found) if found else None


def node(tree: Any, *keys: str) -> Any:
    """What lies at some keys of JSON; None where there is nothing."""
    for key in keys:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree


def number(value: Any) -> float | None:
    """A value if it is a number."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def telling(overrides: Sequence[str]) -> list[str]:
    """Overrides without those that only say where a run writes and what it shows."""
    return [text for text in overrides if not re.match(r"\+*(hydra[./]|out_dir=|callbacks\.progress=)", text)]
