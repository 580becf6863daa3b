"""Which member was best, and how it is run alone."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence

from regtorch.sweep.path.members import Member
from regtorch.sweep.path.train import Outcome

__all__ = ["best_epoch", "best_of", "command"]


def best_epoch(outcome: Outcome, score: str) -> Mapping[str, float] | None:
    """The metrics of a member's best epoch by its validation score, or by the training score without validation."""
    for key in (f"val/{score}", f"train/{score}"):
        found = [epoch for epoch in outcome.epochs if math.isfinite(epoch.get(key, math.nan))]
        if found:
            return max(found, key=lambda epoch: epoch[key])
    return None


def best_of(outcomes: Sequence[Outcome], score: str) -> Outcome | None:
    """The member whose best epoch is the highest, of equals the one with the lower task loss; none that diverged."""
    ranked = []
    for outcome in outcomes:
        epoch = best_epoch(outcome, score)
        if epoch is not None and outcome.diverged is None:
            stage = "val" if f"val/{score}" in epoch else "train"
            ranked.append((epoch[f"{stage}/{score}"], -epoch[f"{stage}/task_loss"], outcome))
    return max(ranked, key=lambda entry: entry[:2])[2] if ranked else None


def command(member: Member, overrides: Sequence[str]) -> str:
    """What runs a member alone.

    Args:
        member: which.
        overrides: the path's.
    """
    own = member.overrides
    taken = ("path.", *(f"{override.partition('=')[0]}=" for override in own))
    kept = [override for override in overrides if not override.startswith(taken)]
    return shlex.join(["python", "scripts/train.py", *kept, *own])
