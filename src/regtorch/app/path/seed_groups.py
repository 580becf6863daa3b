"""The ranking of a path's settings by their means over seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from regtorch.app.path.members import Member
from regtorch.app.path.outcome import Outcome
from regtorch.app.record import ranking
from regtorch.app.record.axes import AXES
from regtorch.app.record.command import command
from regtorch.app.record.overrides import changed, key_of
from regtorch.app.record.ranking import Rank
from regtorch.spread import Spread, spread

__all__ = ["SeedGroup", "best_epoch", "best_of", "best_setting", "command_of", "settings_of"]


@dataclass(frozen=True)
class SeedGroup:
    """Members that differ only in their seed."""

    outcomes: Sequence[Outcome]
    metric: str | None  # ranked by, at each best epoch; None if no member has a score
    score: Spread | None  # over the members that did not diverge
    loss: Spread | None  # task loss of the same epochs

    @property
    def label(self) -> str:
        values = self.outcomes[0].member.values
        if len(self.outcomes) > 1:
            values = {axis: value for axis, value in values.items() if axis != "seed"}
        return Member(0, values).label

    @property
    def rank(self) -> Rank | None:
        if self.metric is None:
            return None
        values = self.outcomes[0].member.values
        strengths = {AXES[axis].key: value for axis, value in values.items()}
        diverged = any(outcome.diverged is not None for outcome in self.outcomes)
        return Rank.of_seeds(self.metric, self.score, self.loss, strengths, diverged=diverged)


def best_epoch(outcome: Outcome, score: str) -> Mapping[str, float] | None:
    """A member's best epoch by validation score, or by training score without validation."""
    return ranking.best_epoch(outcome.epochs, f"val/{score}", f"train/{score}")


def settings_of(outcomes: Sequence[Outcome], score: str) -> list[SeedGroup]:
    """The settings of a path in its order; if only seeds vary, each is a setting."""
    found: dict[tuple[object, ...], list[Outcome]] = {}
    for outcome in outcomes:
        values = outcome.member.values
        kept = [value for axis, value in values.items() if axis != "seed" or len(values) == 1]
        found.setdefault(tuple(kept), []).append(outcome)
    return [_setting(members, score) for members in found.values()]


def _setting(outcomes: Sequence[Outcome], score: str) -> SeedGroup:
    epochs = [epoch for o in outcomes if o.diverged is None and (epoch := best_epoch(o, score)) is not None]
    if not epochs:
        return SeedGroup(outcomes, None, None, None)
    stage = "val" if all(f"val/{score}" in epoch for epoch in epochs) else "train"
    scores, losses = (spread(epoch[f"{stage}/{name}"] for epoch in epochs) for name in (score, "task_loss"))
    return SeedGroup(outcomes, f"{stage}/{score}", scores, losses)


def best_setting(settings: Sequence[SeedGroup]) -> SeedGroup | None:
    """The best setting, preferring settings with validation; None without a score."""
    validated = [setting for setting in settings if str(setting.metric).startswith("val/")]
    return ranking.best_of(validated or settings, lambda setting: setting.rank)


def best_of(setting: SeedGroup, score: str) -> Outcome | None:
    """The member of a setting with the best epoch; None without a score."""
    members = [_setting([outcome], score) for outcome in setting.outcomes]
    best = best_setting(members)
    return None if best is None else best.outcomes[0]


def command_of(member: Member, overrides: Iterable[str]) -> str:
    """The command that trains a member alone."""
    kept = [text for text in overrides if not key_of(text).startswith("path.")]
    return command("train", changed(kept, member.overrides))
