"""Which of two runs, members, settings or trials is better, and what the score is called."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from regtorch.app.record.axes import AXES, STRENGTHS
from regtorch.app.record.json_file import number
from regtorch.app.record.run import RunRecord

__all__ = ["Rank", "best_epoch", "best_of", "label_of_metric", "named", "ordered", "rank_of", "score_of"]


T = TypeVar("T")


@dataclass(frozen=True)
class Rank:
    """What decides which of two is better.

    First comes the one that did not diverge; then the one with the better score; of equal scores, the one with the
    lower task loss; of equal losses, the one with the simpler rule. The simpler rule is the one with fewer of strength,
    dropout rate and bound in force (a strength or a rate of 0 is not); then the one with the lower strength, then the
    lower rate, then the looser bound.
    """

    metric: str  # such as "val/accuracy"; ranks of different metrics cannot be compared
    score: float  # of the best epoch, or its mean over seeds; finite
    maximize: bool = True
    loss: float = math.inf  # task loss of the same epoch; infinite if unknown
    strengths: Mapping[str, float] = field(default_factory=dict)  # by key, from `RunRecord.strengths`
    diverged: bool = False  # whether any seed diverged

    @staticmethod
    def of_trial(metric: str, score: float, maximize: bool, loss: float, parameters: Mapping[str, object]) -> Rank:
        """The rank of a search's trial by what the search looks at."""
        found = {key: number(parameters.get(key)) for key in STRENGTHS}
        strengths = {key: value for key, value in found.items() if value is not None}
        return Rank(metric, score, maximize, loss, strengths)

    @property
    def order(self) -> tuple[float, ...]:
        """The lower, the better."""
        loss = self.loss if math.isfinite(self.loss) else math.inf
        lam, rate, bound = (self.strengths.get(AXES[name].key) for name in ("lam", "rate", "max_value"))
        in_force = bool(lam) + bool(rate) + (bound is not None)
        simpler = in_force, lam or 0.0, rate or 0.0, -math.inf if bound is None else -bound
        return self.diverged, -self.score if self.maximize else self.score, loss, *simpler

    def beats(self, other: Rank | None) -> bool:
        """Whether this one is better than another one, or the first; False where they cannot be compared."""
        return other is None or (self.metric == other.metric and self.order < other.order)


def best_of(things: Iterable[T], rank: Callable[[T], Rank | None]) -> T | None:
    """The best one, the first of equals; None where none has a rank. The first with a rank decides about the metric."""
    best: tuple[T, Rank] | None = None
    for thing in things:
        found = rank(thing)
        if found is not None and found.beats(best and best[1]):
            best = thing, found
    return best and best[0]


def ordered(things: Iterable[T], rank: Callable[[T], Rank | None]) -> list[T]:
    """The best first, equals in their order, those without a rank last; all ranks are of one metric."""

    def order(thing: T) -> tuple[float, ...]:
        found = rank(thing)
        return (1,) if found is None else (0, *found.order)

    return sorted(things, key=order)


def rank_of(record: RunRecord) -> Rank | None:
    """The rank of a run by what its best checkpoint is chosen by, or else by its validation score; None without it."""
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
    """The epoch with the highest value of the first metric of which there is a finite one; the first of equals."""
    for metric in metrics:
        found = [epoch for epoch in epochs if math.isfinite(epoch.get(metric, math.nan))]
        if found:
            return max(found, key=lambda epoch: epoch[metric])
    return None


# Names


def score_of(metrics: Iterable[str]) -> str:
    """The name of the score among a run's metrics: accuracy, or r2 in a regression."""
    return "r2" if any(name.endswith("/r2") for name in metrics) else "accuracy"


def named(metric: str, metrics: Iterable[str]) -> str:
    """A metric by its own name: "val/score" is the score that a run has."""
    return f"{metric.removesuffix('score')}{score_of(metrics)}" if metric.endswith("/score") else metric


def label_of_metric(name: str) -> str:
    """A metric's name as people write it: R² for r2."""
    return f"{name.removesuffix('r2')}R²" if name.rpartition("/")[2] == "r2" else name
