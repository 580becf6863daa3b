"""The ranking of runs, path members, settings and trials, and the names of scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from regtorch.app.record.axes import AXES, STRENGTHS
from regtorch.app.record.json_file import number
from regtorch.app.record.run_record import RunRecord
from regtorch.counted import counted
from regtorch.plot.labels import score_of
from regtorch.spread import Spread

__all__ = [
    "TIE_RULE",
    "Rank",
    "best_epoch",
    "best_of",
    "named",
    "ordered",
    "rank_of",
    "tie_remark",
    "tie_words",
    "tied",
]

T = TypeVar("T")
TIE_RULE = "of equal scores, the lower task loss leads, then the simpler rule"
"""How `Rank` breaks ties, for remarks."""


@dataclass(frozen=True)
class Rank:
    """The sort key of a result.

    Results that did not diverge come first, then the better score, then the lower task loss, then the simpler rule. The
    simpler rule has fewer of strength, dropout rate and bound in force (a strength or a rate of 0 is not), then the
    lower strength, then the lower rate, then the looser bound.
    """

    metric: str  # such as "val/accuracy"; ranks of different metrics cannot be compared
    score: float  # of the best epoch, or its mean over seeds; finite
    maximize: bool = True
    loss: float = math.inf  # task loss of the same epoch; infinite if unknown
    strengths: Mapping[str, float] = field(default_factory=dict)  # by key, from `RunRecord.strengths`
    diverged: bool = False  # whether any seed diverged

    @staticmethod
    def of_trial(metric: str, score: float, maximize: bool, loss: float, parameters: Mapping[str, object]) -> Rank:
        """The rank of a search's trial by the metric that the search monitors."""
        found = {key: number(parameters.get(key)) for key in STRENGTHS}
        strengths = {key: value for key, value in found.items() if value is not None}
        return Rank(metric, score, maximize, loss, strengths)

    @staticmethod
    def of_seeds(
        metric: str,
        score: Spread | None,
        loss: Spread | None,
        strengths: Mapping[str, float],
        *,
        maximize: bool = True,
        diverged: bool = False,
    ) -> Rank | None:
        """The rank of a setting by its means over seeds; None without a finite score."""
        if score is None or not score.count:
            return None
        mean_loss = loss.mean if loss is not None and loss.count else math.inf
        return Rank(metric, score.mean, maximize, mean_loss, strengths, diverged)

    @property
    def order(self) -> tuple[float, ...]:
        """Sort key: lower is better."""
        loss = self.loss if math.isfinite(self.loss) else math.inf
        lam, rate, bound = (self.strengths.get(AXES[name].key) for name in ("lam", "rate", "max_value"))
        in_force = bool(lam) + bool(rate) + (bound is not None)
        simpler = in_force, lam or 0.0, rate or 0.0, -math.inf if bound is None else -bound
        return self.diverged, -self.score if self.maximize else self.score, loss, *simpler

    def beats(self, other: Rank | None) -> bool:
        """Whether it is better than another rank, or there is no other; False if they cannot be compared."""
        return other is None or (self.metric == other.metric and self.order < other.order)


def best_of(things: Iterable[T], rank: Callable[[T], Rank | None]) -> T | None:
    """The best item, the first of equals; None without ranks. Only ranks by the first one's metric count."""
    best: tuple[T, Rank] | None = None
    for thing in things:
        found = rank(thing)
        if found is not None and found.beats(best and best[1]):
            best = thing, found
    return best and best[0]


def ordered(things: Iterable[T], rank: Callable[[T], Rank | None]) -> list[T]:
    """Best first, equals in their order, items without a rank last; all ranks must have the same metric."""

    def order(thing: T) -> tuple[float, ...]:
        found = rank(thing)
        return (1,) if found is None else (0, *found.order)

    return sorted(things, key=order)


def tied(best: Rank, others: Iterable[Rank | None]) -> int:
    """How many other results have the best one's score, so that `TIE_RULE` decided."""
    score = best.metric, best.diverged, best.score
    return sum(other is not None and (other.metric, other.diverged, other.score) == score for other in others)


def tie_words(others: int, what: str = "setting") -> str:
    """How many other results have the best one's score, in words; empty without any."""
    return f"tied with {counted(others, f'other {what}')}" if others else ""


def tie_remark(others: int, what: str = "setting") -> str:
    """A sentence about results with the best one's score, and what decided; empty without any."""
    return f"the best {what} is {tie_words(others, what)}: {TIE_RULE}" if others else ""


def rank_of(record: RunRecord) -> Rank | None:
    """The rank of a run by its checkpoint's monitor, or else by its validation score; None without that metric."""
    callbacks = record.setting("callbacks")
    nodes = [n for n in callbacks.values() if isinstance(n, Mapping)] if isinstance(callbacks, Mapping) else []
    saving = (n for n in nodes if "monitor" in n and str(n.get("_target_")).endswith(".ModelCheckpoint"))
    by = next(saving, {})
    metric = named(str(by.get("monitor") or "val/score"), record.final)
    metrics = {**record.final, **(record.best or {})}
    score = metrics.get(metric)
    if score is None or not math.isfinite(score):
        return None
    loss = metrics.get(f"{metric.partition('/')[0]}/task_loss")
    return Rank(metric, score, by.get("mode", "max") == "max", math.inf if loss is None else loss, record.strengths())


def best_epoch(epochs: Sequence[Mapping[str, float]], *metrics: str) -> Mapping[str, float] | None:
    """The epoch with the highest value of the first metric that has a finite value; the first of equals."""
    for metric in metrics:
        found = [epoch for epoch in epochs if math.isfinite(epoch.get(metric, math.nan))]
        if found:
            return max(found, key=lambda epoch: epoch[metric])
    return None


# Names


def named(metric: str, metrics: Iterable[str]) -> str:
    """Resolve "val/score" to the name of the run's score."""
    return f"{metric.removesuffix('score')}{score_of(metrics)}" if metric.endswith("/score") else metric
