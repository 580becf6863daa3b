"""What lies in a folder, in the page's terms: nets that were trained, and what did not come to its end."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from regtorch.sweep.overrides import measured, parse, spelled
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
            strength where there is no penalty, and without the options of the net and the data.
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

    @property
    def net(self) -> str:
        """The option of `model`, or the class that was given in place of its net, here or by an experiment."""
        target = node(self.run.summary, "config", "model", "net", "_target_")
        own = isinstance(target, str) and not target.startswith("regtorch.")
        return str(target) if own else self.values.get("model.net._target_", self.choice("model"))

    def choice(self, group: str) -> str:
        """The option of a config group, such as "model"."""
        chosen = node(self.run.summary, "choices", group)
        return "unknown" if chosen is None else str(chosen)

    def resolved(self, key: str) -> str | None:
        """What a key came to, whether an override says it or a default; None where the summary does not tell.

        A path's members share one summary: it does not tell where they lie on the axes.
        """
        chosen = node(self.run.summary, "choices", key)
        if chosen is not None:
            return str(chosen)
        *parents, last = ("config", *key.split("."))
        holder = node(self.run.summary, *parents)
        told = isinstance(holder, Mapping) and last in holder and not isinstance(holder[last], Mapping)
        return spelled(holder[last]) if told and key not in AXES else None


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
    values: dict[str, str] = {}
    for key in measured(run.overrides):
        if key not in without:
            values |= _leaves(key, given[key][0])
    # What one run says and another leaves to the defaults is the same setting.
    values |= {g: str(option) for g in _RULES if (option := node(run.summary, "choices", g)) is not None}
    seed = given["seed"][0] if "seed" in given else node(run.summary, "config", "seed")
    along = {}
    for axis in AXES:
        group, _, key = axis.partition(".")
        value = given[axis][0] if axis in given else node(run.summary, "config", group, key)
        bounded = node(run.summary, "config", "constraint", "projection", "max_value") is not None
        there = {"reg.lam": not unpenalised, "reg.rate": True, "constraint.max_value": axis in given or bounded}[axis]
        if value is None:
            values.pop(axis, None)  # as if it were not set
        if there and (found := number(value)) is not None and math.isfinite(found):
            along[axis] = found
            values[axis] = f"{found:g}"
    norm = number(node(run.summary, "regularized", "norm")) if norm is None else norm
    if zeros is None:
        zeros = number(node(run.summary, "regularized", "sparsity"))
    whole = seed if isinstance(seed, int) and not isinstance(seed, bool) else None
    return Entry(name, run, values, whole, along, norm, zeros, ended, searched)


def _leaves(key: str, value: Any) -> dict[str, str]:
    """An override by a mapping as overrides of its keys."""
    if not isinstance(value, dict):
        return {key: spelled(value)}
    return {leaf: text for name, of_one in value.items() for leaf, text in _leaves(f"{key}.{name}", of_one).items()}


def _unpenalised(summary: Mapping[str, Any]) -> bool:
    reg = node(summary, "config", "reg")
    return isinstance(reg, dict) and "penalty" in reg and reg["penalty"] is None


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
