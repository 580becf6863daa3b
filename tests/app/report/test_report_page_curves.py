"""The static learning curves: coloured by strength where there are several, and captions that stay short."""

from __future__ import annotations

from pathlib import Path

from regtorch.app.pages.environment import environment
from regtorch.app.report.collect import collect
from regtorch.app.report.curves import coloured_by, curves
from regtorch.app.report.experiments import Experiment, experiments_of
from regtorch.plot.panel import SEQUENCE, looks_along
from report_runs import a_grid


def grid(folder: Path, regs: list[str], lams: list[float]) -> Experiment:
    [experiment] = experiments_of(collect(a_grid(folder, regs, lams, [0])).entries)
    return experiment


def test_the_colours_go_with_the_strength(tmp_path: Path):
    experiment = grid(tmp_path, ["l1", "l2"], [1e-4, 1e-3, 1e-1])
    assert coloured_by(experiment) == "reg.lam"
    series = [one for one in curves(experiment)[0].series if one.label]
    colours = {one.label.partition("reg.lam=")[2]: one.look.colour for one in series}
    assert colours == {text: SEQUENCE[n].colour for text, n in (("0.0001", 0), ("0.001", 4), ("0.1", 8))}
    assert len({one.look.marker for one in series}) == 6, "equal strengths differ in their marker"


def test_a_setting_without_a_strength_or_too_few_make_no_sequence(tmp_path: Path):
    assert coloured_by(grid(tmp_path / "two", ["l1", "l2"], [1e-4, 1e-3])) is None
    assert coloured_by(grid(tmp_path / "none", ["none", "l2"], [1e-4, 1e-3, 1e-2])) is None


def test_colours_by_rank():
    assert [look.variable for look in looks_along([1.0, 1e9, 0.0, 1.0])] == ["--seq4", "--seq8", "--seq0", "--seq4"]
    assert [look.variable for look in looks_along([3.0])] == ["--seq0"]


def test_a_caption_is_the_first_clause_with_its_long_words_shortened():
    brief = environment().filters["brief"]
    assert brief("Ends at 0.5. Done.") == "Ends at 0.5. Done."
    assert brief("Highest at 0.1, lowest at 2; the rest.") == "Highest at 0.1, lowest at 2."
    assert brief(f"name={'x' * 200}3 ends") == f"name={'x' * 15}…{'x' * 19}3 ends"
