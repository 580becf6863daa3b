"""The table at the end of a path: a row per setting, means over seeds."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from regtorch.app.ground.lines import tell
from regtorch.app.path.members import varied
from regtorch.app.path.outcome import Outcome
from regtorch.app.path.seed_groups import SeedGroup, best_epoch, best_setting, settings_of
from regtorch.app.record.ranking import ordered, tie_remark, tied
from regtorch.app.terminal.table import print_chosen
from regtorch.spread import spread

__all__ = ["print_members"]

_MOST_ROWS = 64
_NAMES: Sequence[str] = ("train", "val", "test", "best val", "epoch", "norm", "zeros")
_SPARE = ("epoch", "test", "zeros", "norm")  # on a narrow terminal, the first goes first


def print_members(outcomes: Sequence[Outcome], score: str, best: Mapping[str, Any] | None) -> None:
    """Print a row per setting, the best one marked, and the command that runs its best member alone."""
    from rich import box
    from rich.table import Table

    settings = settings_of(outcomes, score)
    seeds = max(len(setting.outcomes) for setting in settings)
    firsts = [setting.outcomes[0].member for setting in settings]
    axes = varied(firsts) or list(firsts[0].values)
    over = f", means over {seeds} seeds" if seeds > 1 else ""
    title = f"{score} and weights after the last epoch, and the best epoch{over}"
    chosen = best_setting(settings)
    shown = settings
    if len(settings) > _MOST_ROWS:
        shown = ordered(settings, lambda s: s.rank)[:_MOST_ROWS]

    def table(left_out: Collection[str]) -> Table:
        kept = [name for name in _NAMES if name not in left_out]
        table = Table("", *axes, *kept, box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, title=title)
        for column in table.columns:
            column.justify, column.no_wrap = "right", True
        for setting in shown:
            values = [f"{setting.outcomes[0].member.values[axis]:.4g}" for axis in axes]
            cells = dict(zip(_NAMES, _cells(setting, score), strict=True))
            mark, style = ("→", "bold") if setting is chosen else ("", None)
            table.add_row(mark, *values, *(cells[name] for name in kept), style=style)
        return table

    print_chosen(table, _SPARE)
    if len(shown) < len(settings):
        tell(f"the best {len(shown)} of {len(settings)} settings; all are in summary.json")
    for outcome in [outcome for outcome in outcomes if outcome.diverged is not None][:5]:
        assert outcome.diverged is not None
        tell(f"diverged: {outcome.member.label}: {outcome.diverged.reason}")
    if chosen is not None and best is not None:
        for remark in _remarks(chosen, settings, axes):
            tell(remark)
        which = f"best, its best seed of {seeds} alone" if seeds > 1 else "best, alone"
        tell(f"{which}:\n  {best['command']}")


def _remarks(chosen: SeedGroup, settings: Sequence[SeedGroup], axes: Sequence[str]) -> Iterable[str]:
    """Cautions about the best setting: ties, and ends of ranges."""
    assert chosen.rank is not None
    alike = [s for s in settings if s is not chosen and tied(chosen.rank, [s.rank])]
    if remark := tie_remark(len(alike)):
        yield remark
    for axis in axes:
        values = sorted({s.outcomes[0].member.values[axis] for s in settings})
        own = chosen.outcomes[0].member.values[axis]
        inside = any(s.outcomes[0].member.values[axis] != own for s in alike)  # of the range, as good as its end
        at_end = len(values) > 2 and own in (values[0] or None, values[-1])  # nothing is below 0
        if axis != "seed" and at_end and not inside:
            yield f"the best {axis}, {own:.4g}, is at the end of its range: extend the range"


def _cells(setting: SeedGroup, score: str) -> list[str]:
    finite = [outcome for outcome in setting.outcomes if outcome.diverged is None]
    if not finite:
        return ["diverged", *[""] * (len(_NAMES) - 1)]
    last = [outcome.final for outcome in finite]
    best = [best_epoch(outcome, score) or {} for outcome in finite]
    return [
        *(_mean((metrics.get(f"{stage}/{score}") for metrics in last), ".4f") for stage in ("train", "val", "test")),
        _mean((epoch.get(f"val/{score}") for epoch in best), ".4f", deviation=True),
        _mean((epoch.get("epoch") for epoch in best), ".0f"),
        _mean((outcome.norm for outcome in finite), ".4g"),
        _mean((outcome.zeros for outcome in finite), ".1%"),
    ]


def _mean(values: Iterable[float | None], form: str, *, deviation: bool = False) -> str:
    found = spread(values)
    if found is None or not found.count:
        return ""
    text = format(found.mean, form)
    return f"{text} ± {format(found.deviation, form)}" if deviation and found.count > 1 else text
