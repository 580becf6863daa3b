"""How the report sorts runs: by what differs between them, each seed once, the best first."""

from __future__ import annotations

import itertools
import math
import os
import shlex
from pathlib import Path

import pytest

from regtorch.app.record.overrides import measured
from regtorch.app.report.collect import collect
from regtorch.app.report.experiments import Experiment, experiments_of
from regtorch.app.report.strengths import strengths_of
from regtorch.plot.drawing import apply
from regtorch.plot.panel import Axis
from report_runs import a_grid, a_path, a_run, a_search


def the_experiment(folder: Path) -> Experiment:
    [experiment] = experiments_of(collect(folder).entries)
    return experiment


def labels(experiment: Experiment) -> dict[str, int]:
    return {setting.label: len(setting.entries) for setting in experiment.settings}


def test_runs_are_grouped_by_what_differs_over_their_seeds(tmp_path: Path):
    a_grid(tmp_path, ["l1", "l2"], [1e-3, 1.0], [0, 1, 2], extra="trainer.max_epochs=9 data.dir=x")
    experiment = the_experiment(tmp_path)
    assert labels(experiment) == {f"reg={r} reg.lam={lam}": 3 for lam in ("0.001", "1") for r in ("l1", "l2")}
    assert (experiment.title, experiment.score, experiment.repeats) == ("mnist_mlp on digits", "val/accuracy", 0)


def test_a_strength_without_a_penalty_is_no_difference(tmp_path: Path):
    a_grid(tmp_path, ["none", "l2"], [1e-3, 1.0], [0, 1])
    experiment = the_experiment(tmp_path)
    assert labels(experiment) == {"reg=l2 reg.lam=0.001": 2, "reg=none": 2, "reg=l2 reg.lam=1": 2}
    assert experiment.repeats == 2
    [none] = [setting for setting in experiment.settings if setting.label == "reg=none"]
    assert none.command == "python scripts/train.py -m model=mnist_mlp reg=none seed=0,1"


def test_settings_are_compared_with_none_seed_by_seed(tmp_path: Path):
    a_grid(tmp_path / "a", ["none", "l2"], [1e-3], [0, 1], extra="model.net.dropout=0.1")
    a_run(tmp_path / "b", "reg=l2", "reg.lam=1e-3", "seed=2", "model.net.dropout=0.1", lam=1e-3, seed=2)  # no partner
    a_run(tmp_path / "c", "reg=l1", "seed=0", "model.net.dropout=0.7", reg="l1")  # of another net
    experiment = the_experiment(tmp_path)
    found = dict(zip(labels(experiment), experiment.against_none, strict=True))
    l2 = found["model.net.dropout=0.1 reg=l2 reg.lam=0.001"]
    scores = {s.label: s.by_seed for s in experiment.settings}
    of_none = scores["model.net.dropout=0.1 reg=none"]
    expected = [scores["model.net.dropout=0.1 reg=l2 reg.lam=0.001"][seed] - of_none[seed] for seed in (0, 1)]
    assert l2 is not None
    assert (l2.count, l2.mean) == (2, pytest.approx(sum(expected) / 2))
    assert [label for label, value in found.items() if value is None] == [
        label for label in found if label != "model.net.dropout=0.1 reg=l2 reg.lam=0.001"
    ]


def test_dropout_is_compared_with_none_and_a_penalty_beside_dropout_with_none_beside_it(tmp_path: Path):
    rate = {"lam": 0.01, "rate": 0.5}
    a_run(tmp_path / "none", "reg=none", reg="none")
    a_run(tmp_path / "dropout", "reg=dropout", "reg.rate=0.5", reg="dropout")
    a_run(tmp_path / "l2", "reg=l2", "reg.rate=0.5", config={"seed": 0, "reg": {**rate, "penalty": {"lam": 0.01}}})
    config = {"seed": 0, "reg": {**rate, "penalty": None}}
    a_run(tmp_path / "both", "reg=none", "reg.rate=0.5", reg="none", lam=1.0, config=config)
    experiment = the_experiment(tmp_path)
    compared = {
        setting.entries[0].name: None if found is None else found.mean
        for setting, found in zip(experiment.settings, experiment.against_none, strict=True)
    }
    best = {entry.name: entry.best("val/accuracy") or 0.0 for s in experiment.settings for entry in s.entries}
    assert compared["dropout"] == pytest.approx(best["dropout"] - best["none"])
    assert compared["l2"] == pytest.approx(best["l2"] - best["both"])
    assert compared["none"] is None


def test_what_is_left_to_the_defaults_and_how_a_number_is_written_are_no_difference(tmp_path: Path):
    a_run(tmp_path / "0", "reg=l2", lam=1e-4, seed=0)
    a_run(tmp_path / "1", "reg=l2", "reg.lam=1e-4", "optimizer=adam", lam=1e-4, seed=1)
    a_run(tmp_path / "2", "reg=l2", "reg.lam=0.0001", "seed=2", "model=mnist_mlp", lam=1e-4, seed=2)
    assert list(labels(the_experiment(tmp_path)).values()) == [3]


def test_of_runs_with_the_same_setting_and_seed_the_newest_counts(tmp_path: Path):
    for name, time in (("old", 1000), ("new", 2000), ("older", 500)):
        summary = a_run(tmp_path / name, "reg=l2", "seed=3", seed=3) / "summary.json"
        os.utime(summary, (time, time))
    experiment = the_experiment(tmp_path)
    assert [entry.name for entry in experiment.settings[0].entries] == ["new"]
    assert experiment.repeats == 2


def test_a_run_without_a_seed_is_no_repetition(tmp_path: Path):
    for name in "ab":
        a_run(tmp_path / name, "reg=l2", "seed=null", seed=None)
    assert list(labels(the_experiment(tmp_path)).values()) == [2]


def test_what_is_not_finite_comes_last_and_is_said(tmp_path: Path):
    nothing = {"final": {"val/accuracy": None}, "best": None}
    a_run(tmp_path / "0", "reg.lam=1", lam=1.0, **nothing)
    a_run(tmp_path / "1", "reg.lam=2", lam=2.0, seed=0)
    a_run(tmp_path / "2", "reg.lam=2", "seed=1", lam=2.0, seed=1, **nothing)
    first, last = the_experiment(tmp_path).settings
    assert str(first.ranked_by).endswith(" (nan in 1 of 2)")
    assert (first.label, last.label) == ("reg.lam=2", "reg.lam=1")
    assert str(last.ranked_by) == "(nan in 1 of 1)"


def test_nets_and_data_sets_are_kept_apart(tmp_path: Path):
    a_run(tmp_path / "0", "reg=l2")
    choices = {"model": "cnn", "data": "cifar10", "reg": "l2"}
    for number in (1, 2):
        a_run(tmp_path / str(number), "reg=l2", f"seed={number}", seed=number, choices=choices)
    assert [e.title for e in experiments_of(collect(tmp_path).entries)] == ["cnn on cifar10", "mnist_mlp on digits"]


def test_the_command_runs_the_setting_again(tmp_path: Path):
    overrides = ["'reg.select=kernel|bias'", "callbacks.progress=null", "hydra.job.num=1", "model.net.rates=[0.1,0.2]"]
    for seed in (0, 1):
        a_run(tmp_path / str(seed), "reg.select='kernel|bias'", *overrides[1:], f"seed={seed}", seed=seed)
    command = the_experiment(tmp_path).settings[0].command
    words = shlex.split(command)
    assert words[:3] == ["python", "scripts/train.py", "-m"]
    assert words[3:] == ["reg.select='kernel|bias'", "model.net.rates=[0.1,0.2]", "seed=0,1"]


def test_trials_and_members_are_settings_beside_runs(tmp_path: Path):
    a_grid(tmp_path / "grid", ["l1"], [1e-3], [0, 1])
    a_path(tmp_path / "path", [1e-3, 1e-2], [2])
    a_search(tmp_path / "search", 3)
    found = labels(the_experiment(tmp_path))
    assert found["reg=l1 reg.lam=0.001"] == 3
    assert found["reg=l1 reg.lam=0.01"] == 1
    assert len(found) == 2 + 3


def test_the_path_has_a_line_a_penalty_and_runs_without_one_across(tmp_path: Path):
    a_grid(tmp_path / "grid", ["none", "l1", "l2"], [1e-4, 1e-3, 1e-2], [0, 1])
    a_search(tmp_path / "search", 3)
    [strengths] = strengths_of(the_experiment(tmp_path))
    assert strengths.axis == "reg.lam"
    assert strengths.lines == ["reg=l1", "reg=l2", "reg=none"]
    accuracy, gap, norm, zeros = strengths.panels
    assert "reg=l1: highest at 0.001 with 0.88" in accuracy.text
    assert "reg=l1: highest at 0.01 with 5.000" in zeros.text


@pytest.mark.parametrize(("axis", "value"), [("reg.rate", "0.1"), ("constraint.max_value", "2")])
def test_rates_and_bounds_have_paths_too(tmp_path: Path, axis: str, value: str):
    for number, given in enumerate((value, "0.5", "0.7")):
        a_run(tmp_path / str(number), f"{axis}={given}")
    [strengths] = strengths_of(the_experiment(tmp_path))
    assert (strengths.axis, strengths.lines) == (axis, [""])


def test_another_axis_is_drawn_across_by_its_best(tmp_path: Path):
    a_grid(tmp_path / "grid", ["none", "l2"], [1e-4, 1e-3], [0])
    for rate, accuracy in ((0.2, 0.7), (0.4, 0.95), (0.6, 0.8)):
        final = {"val/accuracy": accuracy}
        a_run(tmp_path / f"{rate}", "reg=dropout", f"reg.rate={rate}", reg="dropout", final=final, best=None)
    by_strength, by_rate = strengths_of(the_experiment(tmp_path))
    assert (by_strength.axis, by_rate.axis) == ("reg.lam", "reg.rate")
    assert sorted(by_strength.lines) == ["reg=dropout reg.rate=0.4, the best of 3", "reg=l2", "reg=none"]
    assert sorted(by_rate.lines)[0] == "reg=dropout"
    assert sum("reg=l2 reg.lam=" in line and line.endswith(", the best of 2") for line in by_rate.lines) == 1


def test_one_strength_is_no_path(tmp_path: Path):
    a_grid(tmp_path, ["l1", "l2"], [1e-3], [0, 1])
    assert not list(strengths_of(the_experiment(tmp_path)))


def test_what_a_run_measured():
    given = ["reg.lam=1e-4", "seed=1", "trainer=cpu", "data.dir=x", "trainer=ddp", "logger=csv", "+optimizer.lr=0.5"]
    assert measured(given) == {"reg.lam": "0.0001", "trainer": "ddp", "optimizer.lr": "0.5"}


def test_of_equal_scores_the_lower_loss_leads_and_the_tie_is_counted(tmp_path: Path):
    for number, (loss, accuracy) in enumerate([(0.3, 1.0), (0.1, 1.0), (0.2, 1.0), (0.01, 0.9), (math.nan, 1.0)]):
        best = {"epoch": 1, "val/accuracy": accuracy, "val/task_loss": None if math.isnan(loss) else loss}
        lam = 10.0**-number
        a_run(tmp_path / str(number), f"reg.lam={lam!r}", lam=lam, best=best)
    experiment = the_experiment(tmp_path)
    assert list(labels(experiment)) == [f"reg.lam={lam}" for lam in ("0.1", "0.01", "1", "0.0001", "0.001")]
    assert experiment.tied == 3


def test_equal_lines_along_an_axis_come_in_the_order_of_their_settings(tmp_path: Path):
    for reg, loss in (("l1", 0.3), ("l2", 0.1)):
        for lam in (1e-3, 1e-2):
            final = {"val/accuracy": 1.0, "val/task_loss": loss}
            a_run(
                tmp_path / f"{reg} {lam}", f"reg={reg}", f"reg.lam={lam!r}", reg=reg, lam=lam, final=final, best=final
            )
    [strengths] = strengths_of(the_experiment(tmp_path))
    assert strengths.lines == ["reg=l2", "reg=l1"]


@pytest.mark.parametrize(
    ("said", "tree"),
    [
        ("optimizer.lr=0.001", {"optimizer": {"lr": 0.001}}),
        ("optimizer.betas=[0.9, 0.99]", {"optimizer": {"betas": [0.9, 0.99]}}),
        ("compile=False", {"compile": False}),
        ("model.net.norm=null", {"model": {"net": {"norm": None}}}),
        ("model.net={hidden:36}", {"model": {"net": {"hidden": 36}}}),
        ("reg.rate=null", {}),
        ("constraint.max_value=2", {"constraint": {"max_value": 2.0, "projection": {"max_value": 2.0}}}),
    ],
)
def test_what_one_run_says_and_another_leaves_to_its_default_is_one_setting(
    tmp_path: Path, said: str, tree: dict[str, object]
):
    for number, given in enumerate(([said], [])):
        a_run(tmp_path / str(number), "reg=l2", *given, seed=number, config={"seed": number, **tree})
    assert list(labels(the_experiment(tmp_path)).values()) == [2]


def test_another_default_is_another_setting_and_is_told(tmp_path: Path):
    a_run(tmp_path / "0", "optimizer.lr=0.001", config={"optimizer": {"lr": 0.001}})
    a_run(tmp_path / "1", config={"optimizer": {"lr": 0.1}})
    a_run(tmp_path / "2", config={})
    found = labels(the_experiment(tmp_path))
    assert found == {"optimizer.lr=0.001": 1, "optimizer.lr=0.1": 1, "defaults": 1}


@pytest.mark.parametrize(
    "given",
    [
        ["model=cnn", "model.net={_target_:mynet.Net,hidden:36}"],
        ["++model.net._target_=mynet.Net", "model.net.hidden=36"],
        ["model.net._target_='mynet.Net'", "model.net.hidden=36"],
    ],
)
def test_an_own_net_is_not_pooled_with_the_one_it_replaces(tmp_path: Path, given: list[str]):
    choices = {"model": "cnn", "data": "digits"}
    a_run(tmp_path / "0", "model=cnn", choices=choices)
    a_run(tmp_path / "1", *given, choices=choices)
    a_run(tmp_path / "2", "model.net._target_=mynet.Net", "model.net.hidden=36", seed=1, choices=choices)
    found = {experiment.title: labels(experiment) for experiment in experiments_of(collect(tmp_path).entries)}
    assert list(found) == ["mynet.Net on digits", "cnn on digits"]
    assert list(found["mynet.Net on digits"].values()) == [2]


def test_so_is_one_of_an_experiment(tmp_path: Path):
    config = {"seed": 0, "model": {"net": {"_target_": "mynet.Net"}}}
    choices = {"model": "cnn", "data": "digits"}
    a_run(tmp_path / "0", "experiment=mine", choices=choices, config=config)
    a_run(tmp_path / "1", "experiment=mine", "model.net._target_=mynet.Net", choices=choices, config=config, seed=1)
    found = {experiment.title: labels(experiment) for experiment in experiments_of(collect(tmp_path).entries)}
    assert list(found) == ["mynet.Net on digits"]


def test_a_line_across_is_of_runs_that_did_not_set_it(tmp_path: Path):
    for rate in (0.1, 0.5):
        a_run(tmp_path / str(rate), "reg=dropout", f"reg.rate={rate}", reg="dropout", best=None)
    final = {"val/accuracy": 1.0, "train/accuracy": 1.0}
    a_run(tmp_path / "own", "reg=none", "model.net.dropout=0.5", reg="none", final=final, best=None)
    [strengths] = strengths_of(the_experiment(tmp_path))
    assert strengths.panels[0].text.startswith("Along reg.rate: model.net.dropout=0.5 reg=none:")
    assert "1.000 with reg.rate not set;" in strengths.panels[0].text


def test_a_label_of_0_has_room_beside_the_next_one():
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    for values in (
        [0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1],
        [0, *(10 ** (-6 + n / 5) for n in range(31))],
        [0, 5e-6, 1],
    ):
        axis = Axis.along("", values, log=True)
        figure = Figure(figsize=(4.4, 2.9))
        axes = figure.add_subplot()
        axes.plot([axis.at(value) for value in values], values)
        apply(axis, axes.xaxis)
        FigureCanvasAgg(figure).draw()
        boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
        assert axes.get_xticklabels()[0].get_text() == "0"
        assert all(left.x1 + 3 < right.x0 for left, right in itertools.pairwise(boxes))
