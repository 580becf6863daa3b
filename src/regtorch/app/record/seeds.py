"""Runs that differ only in their seeds are one setting, which its means rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from regtorch.app.record.overrides import setting_of
from regtorch.app.record.ranking import Rank, best_of, tied
from regtorch.spread import Spread, spread

__all__ = ["RankedSetting", "Result", "best_setting"]


@dataclass(frozen=True)
class Result:
    """What ranks a run."""

    overrides: Sequence[str]
    rank: Rank | None  # None without a score
    diverged: bool = False


@dataclass(frozen=True)
class RankedSetting:
    """A setting with a score."""

    runs: Sequence[int]  # places of its runs with a score in the given sequence
    score: Spread
    rank: Rank
    tied: int = 0  # how many other settings have the same score

    @property
    def said(self) -> str:
        """Its metric and score, as means over seeds if there are several."""
        if len(self.runs) == 1:
            return f"{self.rank.metric} {self.score.mean:.4f}"
        return f"{self.rank.metric} {self.score.mean:.4f} ± {self.score.deviation:.4f}, {len(self.runs)} seeds"


def best_setting(results: Sequence[Result]) -> RankedSetting | None:
    """The setting with the best mean over its seeds; None without a score. If only seeds differ, each run is one."""
    groups: dict[object, list[int]] = {}
    for place, result in enumerate(results):
        setting = setting_of(result.overrides) if result.overrides else place  # unknown: its own
        groups.setdefault(setting, []).append(place)
    settings = [[place] for place in range(len(results))] if len(groups) == 1 else list(groups.values())
    ranked = [found for places in settings if (found := _ranked(results, places)) is not None]
    best = best_of(ranked, lambda setting: setting.rank)
    if best is None:
        return None
    others = tied(best.rank, [setting.rank for setting in ranked if setting is not best])
    return RankedSetting(best.runs, best.score, best.rank, others)


def _ranked(results: Sequence[Result], places: Sequence[int]) -> RankedSetting | None:
    ranks = {place: rank for place in places if (rank := results[place].rank) is not None}
    if not ranks:
        return None
    first = next(iter(ranks.values()))
    ranks = {place: rank for place, rank in ranks.items() if rank.metric == first.metric}
    score = spread(rank.score for rank in ranks.values())
    rank = Rank.of_seeds(
        first.metric,
        score,
        spread(rank.loss for rank in ranks.values()),
        first.strengths,
        maximize=first.maximize,
        diverged=any(results[place].diverged for place in places),
    )
    return None if score is None or rank is None else RankedSetting(list(ranks), score, rank)
