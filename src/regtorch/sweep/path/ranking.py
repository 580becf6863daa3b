"""Which setting was best, by its mean over seeds, and how a member is run alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from regtorch.sweep.path.members import Member
from regtorch.sweep.path.outcome import Outcome
from regtorch.sweep.results import Spread, spread
from regtorch.training import program

__all__ = ["Setting", "best_epoch", "best_of", "best_setting", "command", "settings_of"]


@dataclass(frozen=True)
class Setting:
    """Members that differ in their seed alone.

    Attributes:
        outcomes: theirs.
        metric: the score that they are ranked by, of each one's best epoch; None where no member has one.
        score: over those that did not diverge.
        loss: the mean task loss of the same epochs.
    """

    outcomes: Sequence[Outcome]
    metric: str | None
    score: Spread | None
    loss: float

    @property
    def label(self) -> str:
        """What its members have in common, in words."""
        values = self.outcomes[0].member.values
        if len(self.outcomes) > 1:
            values = {axis: value for axis, value in values.items() if axis != "seed"}
        return Member(0, values).label

    @property
    def rank(self) -> tuple[bool, float, float]:
        """More is better: no member that diverged, then a higher score, then a lower task loss."""
        whole = all(outcome.diverged is None for outcome in self.outcomes)
        return whole, -math.inf if self.score is None else self.score.mean, -self.loss


def best_epoch(outcome: Outcome, score: str) -> Mapping[str, float] | None:
    """The metrics of a member's best epoch by its validation score, or by the training score without validation."""
    for key in (f"val/{score}", f"train/{score}"):
        found = [epoch for epoch in outcome.epochs if math.isfinite(epoch.get(key, math.nan))]
        if found:
            return max(found, key=lambda epoch: epoch[key])
    return None


def settings_of(outcomes: Sequence[Outcome], score: str) -> list[Setting]:
    """The settings of a path, in its order; where only seeds were given each is one."""
    found: dict[tuple[object, ...], list[Outcome]] = {}
    for outcome in outcomes:
        values = outcome.member.values
        kept = [value for axis, value in values.items() if axis != "seed" or len(values) == 1]
        found.setdefault(tuple(kept), []).append(outcome)
    return [_setting(of_one, score) for of_one in found.values()]


def _setting(outcomes: Sequence[Outcome], score: str) -> Setting:
    epochs = [epoch for o in outcomes if o.diverged is None and (epoch := best_epoch(o, score)) is not None]
    if not epochs:
        return Setting(outcomes, None, None, math.inf)
    stage = "val" if all(f"val/{score}" in epoch for epoch in epochs) else "train"
    scores = spread(epoch[f"{stage}/{score}"] for epoch in epochs)
    return Setting(outcomes, f"{stage}/{score}", scores, fmean(epoch[f"{stage}/task_loss"] for epoch in epochs))


def best_setting(settings: Sequence[Setting]) -> Setting | None:
    """The setting of the highest rank, of those with a validation where there are some; none without a score."""
    scored = [setting for setting in settings if setting.metric is not None]
    validated = [setting for setting in scored if str(setting.metric).startswith("val/")]
    return max(validated or scored, key=lambda s: s.rank, default=None)


def best_of(setting: Setting, score: str) -> Outcome:
    """Of the members of a setting that has a score, the one whose best epoch is the highest."""

    def rank(outcome: Outcome) -> tuple[float, float]:
        one = _setting([outcome], score)
        return one.rank[1:]

    return max(setting.outcomes, key=rank)


def command(member: Member, overrides: Sequence[str]) -> str:
    """What runs a member alone.

    Args:
        member: which.
        overrides: the path's.
    """
    own = member.overrides
    taken = ("path.", *(f"{override.partition('=')[0]}=" for override in own))
    kept = [override for override in overrides if not override.startswith(taken)]
    return program.command("train", [*kept, *own])
