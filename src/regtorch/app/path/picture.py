"""path.png: the regularization path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from regtorch.app.figures.along import Line, Trained, along
from regtorch.app.figures.drawing import write_picture
from regtorch.app.path.members import varied
from regtorch.app.path.outcome import Outcome
from regtorch.app.path.seed_groups import SeedGroup, best_setting, settings_of
from regtorch.app.record.axes import AXES
from regtorch.counted import counted
from regtorch.plot.labels import label_of_metric
from regtorch.plot.panel import Axis, Panel

__all__ = ["PICTURE", "draw"]

PICTURE = "path.png"


def draw(outcomes: Sequence[Outcome], score: str, path: Path) -> None:
    """Draw final score, gap, norm and zeros as means over seeds with standard deviations, without diverged members."""
    axes = varied([outcome.member for outcome in outcomes])
    across = next((axis for axis in axes if axis != "seed"), "seed" if axes else next(iter(outcomes[0].member.values)))
    of_lines = [axis for axis in axes if axis not in (across, "seed")]
    label = AXES[across].label
    values = [outcome.member.values[across] for outcome in outcomes]
    x = Axis(label, integers=True) if across == "seed" else Axis.along(label, values)
    groups: dict[str, dict[float, list[Trained]]] = {}
    for outcome in outcomes:
        if outcome.diverged is None:
            own: Mapping[str, float] = outcome.member.values
            name = ", ".join(f"{AXES[axis].label} {own[axis]:g}" for axis in of_lines)
            groups.setdefault(name, {}).setdefault(own[across], []).append(_trained(outcome, score))
    best = best_setting(settings_of(outcomes, score))
    lines = [Line(name, points) for name, points in groups.items()]
    marked = None if best is None else best.outcomes[0].member.values[across]
    panels = list(along(lines, x, score, name=across, best=marked))
    nothing = Panel("", "", x, Axis(), note="every member diverged")
    write_picture(panels or [nothing], _title(outcomes, best, label_of_metric(score)), path)


def _trained(outcome: Outcome, score: str) -> Trained:
    val, train = (outcome.final.get(f"{stage}/{score}") for stage in ("val", "train"))
    return Trained(val, train, outcome.norm, outcome.zeros)


def _title(outcomes: Sequence[Outcome], best: SeedGroup | None, label: str) -> str:
    lost = sum(outcome.diverged is not None for outcome in outcomes)
    parts = [f"{counted(len(outcomes), 'member')} after the last epoch"]
    if best is not None:
        stage = str(best.metric).partition("/")[0]
        parts.append(f"dotted: {best.label}, best by its best epoch's {stage} {label}")
    if lost:
        parts.append(f"{lost} diverged")
    return "; ".join(parts)
