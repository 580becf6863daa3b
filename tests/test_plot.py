"""`rt.plot`: what is on the axes, and what is refused."""

from __future__ import annotations

import csv
import math
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import pytest
import torch
from torch import nn

import regtorch as rt

matplotlib.use("Agg")
from matplotlib import pyplot

CURVES = {
    "loss": [1.2, 0.7, 0.4, 0.2, 0.1, 0.05],
    "accuracy": [0.4, 0.6, 0.8, 0.9, 0.95, 0.99],
    "val_loss": [1.1, 0.8, 0.7, 0.8, 1.0, 1.2],
    "val_accuracy": [0.45, 0.6, 0.7, 0.71, 0.7, 0.69],
}


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    for number in pyplot.get_fignums():
        pyplot.figure(number).canvas.draw()  # raises what drawing would
    pyplot.close("all")


def lines_of(ax: Any) -> dict[str, tuple[list[float], list[float]]]:
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in ax.get_lines()}


def legend_of(ax: Any) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_a_history_is_drawn_with_what_was_found():
    reading = rt.read_history(CURVES)
    ax = rt.plot.history(reading)
    assert ax.get_ylabel() == "loss"
    assert ax.get_xlabel() == "epoch"
    assert lines_of(ax)["val"] == ([1, 2, 3, 4, 5, 6], CURVES["val_loss"])
    assert "Overfitting" in legend_of(ax)
    assert ax.get_figure() in map(pyplot.figure, pyplot.get_fignums())


def test_a_history_is_drawn_on_the_axes_that_are_given():
    _, axes = pyplot.subplots(1, 2)
    assert rt.plot.history(CURVES, axes[0]) is axes[0]
    assert rt.plot.history(CURVES, axes[1], what="accuracy") is axes[1]
    assert lines_of(axes[1])["train"][1] == CURVES["accuracy"]
    assert pyplot.get_fignums() == [axes[0].get_figure().number]


def test_a_history_without_losses_shows_its_accuracies():
    ax = rt.plot.history({name: values for name, values in CURVES.items() if "accuracy" in name})
    assert ax.get_ylabel() == "accuracy"


def test_a_curve_that_a_history_lacks_is_refused_with_those_it_has():
    with pytest.raises(ValueError, match="what must be one of 'loss', 'accuracy', received 'learning rate'"):
        rt.plot.history(CURVES, what="learning rate")


def test_a_history_without_a_finite_value_is_refused():
    with pytest.raises(ValueError, match="plot.history: .* has no finite loss"):
        rt.plot.history({"loss": [math.nan] * 6, "val_loss": [math.nan] * 6})
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize("draw", [rt.plot.history, rt.plot.weights])
def test_axes_that_are_none_are_refused(draw: Any):
    thing = CURVES if draw is rt.plot.history else nn.Linear(2, 2)
    with pytest.raises(TypeError, match=r"plot\.\w+: ax must be the axes of a plot, such as .*, received"):
        draw(thing, "axes")


# Paths


def a_path(folder: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    names = ["member", "lam", "rate", "max_value", "seed", "epoch"]
    names += sorted({name for row in rows for name in row} - set(names))
    with (folder / "path.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return folder


def strengths(**more: object) -> list[dict[str, object]]:
    rows = []
    for epoch in (1, 2):
        for member, (lam, score) in enumerate([(0.0, 0.8), (0.001, 0.9), (0.01, 0.7), (0.1, 0.3)]):
            metrics = {"val/accuracy": score if epoch == 2 else 0.1, "train/accuracy": 1 - lam, "val/penalty": 7 * lam}
            rows.append({"member": member, "lam": lam, "epoch": epoch, **metrics, **more})
    return rows


def test_a_path_is_drawn_after_its_last_epoch_along_a_logarithmic_axis_with_zero(tmp_path: Path):
    ax = rt.plot.path(a_path(tmp_path, strengths()))
    solid, dashed = [line for line in ax.get_lines() if len(line.get_xdata()) == 4]
    assert list(solid.get_ydata()) == [0.8, 0.9, 0.7, 0.3]
    assert list(dashed.get_ydata()) == [1.0, 0.999, 0.99, 0.9]
    assert dashed.get_linestyle() == "--"
    assert ax.get_xscale() == "log"
    assert ax.get_xlabel() == "strength λ"
    assert ax.xaxis.get_major_formatter()(solid.get_xdata()[0]) == "0"
    assert legend_of(ax) == ["highest: 0.900 at 0.001"]


def test_the_penalty_of_a_path_is_drawn_without_a_best(tmp_path: Path):
    ax = rt.plot.path(a_path(tmp_path, strengths()) / "path.csv", what="penalty")
    (line,) = ax.get_lines()
    assert list(line.get_ydata()) == [0, 0.007, 0.07, 0.7000000000000001]
    assert ax.get_legend() is None
    assert ax.get_title() == "Penalty: val (solid), train (dashed)"
    assert ax.get_yscale() == "linear"  # a logarithmic one has no place for 0
    positive = rt.plot.path(a_path(tmp_path, [row for row in strengths() if row["lam"]]), what="penalty")
    assert positive.get_yscale() == "log"


def test_seeds_are_means_with_a_band_and_other_axes_lines(tmp_path: Path):
    rows: list[dict[str, object]] = []
    for rate in (0.0, 0.5):
        for seed in (0, 1):
            own = [{**row, "member": f"{rate}{seed}{row['member']}", "rate": rate, "seed": seed} for row in strengths()]
            rows += [{**row, "val/accuracy": float(str(row["val/accuracy"])) - 0.1 * seed * rate} for row in own]
    ax = rt.plot.path(a_path(tmp_path, rows))
    assert legend_of(ax) == ["highest: 0.900 at 0.001", "dropout rate 0", "dropout rate 0.5"]
    assert lines_of(ax)["dropout rate 0.5"][1] == pytest.approx([0.775, 0.875, 0.675, 0.275])
    assert len(ax.collections) == 4  # a band each


def test_members_that_ended_early_are_left_out_and_counted(tmp_path: Path):
    rows = [row for row in strengths() if (row["member"], row["epoch"]) != (3, 2)]
    ax = rt.plot.path(a_path(tmp_path, rows))
    assert "1 ended early" in ax.get_title()
    assert [0.8, 0.9, 0.7] in [list(line.get_ydata()) for line in ax.get_lines()]


def test_one_member_is_a_point(tmp_path: Path):
    ax = rt.plot.path(a_path(tmp_path, [row for row in strengths() if row["member"] == 1]))
    assert [0.9] in [list(line.get_ydata()) for line in ax.get_lines()]


def test_a_path_over_seeds_alone_is_drawn_by_seed(tmp_path: Path):
    rows = [
        {"member": seed, "lam": 0.1, "seed": seed, "epoch": 1, "val/r2": 0.5 + seed / 10, "train/r2": 0.9}
        for seed in range(3)
    ]
    ax = rt.plot.path(a_path(tmp_path, rows))
    assert ax.get_xlabel() == "seed"
    assert ax.get_ylabel() == "R²"


def test_what_is_no_path_is_refused(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="plot.path: source must be the folder of a path, .* there is no file"):
        rt.plot.path(tmp_path / "nowhere")
    with pytest.raises(TypeError, match="plot.path: source must be .*, received 3"):
        rt.plot.path(3)
    (tmp_path / "path.csv").write_text("epoch,loss\n1,2\n")
    with pytest.raises(ValueError, match="has other columns"):
        rt.plot.path(tmp_path)
    (tmp_path / "path.csv").write_text("member,lam,epoch,val/accuracy\n0,0.1,1,much\n")
    with pytest.raises(ValueError, match="val/accuracy must be a number, received 'much'"):
        rt.plot.path(tmp_path)
    (tmp_path / "path.csv").write_text("member,lam,epoch,val/accuracy\n")
    with pytest.raises(ValueError, match="has no rows"):
        rt.plot.path(tmp_path)
    (tmp_path / "path.csv").write_bytes(b"member,lam,epoch,\xff\n0,1,1,1\n")
    with pytest.raises(ValueError, match="cannot be read as a path"):
        rt.plot.path(tmp_path)


def test_a_metric_that_a_path_lacks_is_refused_with_those_it_has(tmp_path: Path):
    with pytest.raises(ValueError, match="what must be one of 'penalty', 'accuracy'|'accuracy', 'penalty', received"):
        rt.plot.path(a_path(tmp_path, strengths()), what="f1")
    with pytest.raises(ValueError, match="has no finite accuracy"):
        rt.plot.path(a_path(tmp_path, strengths(**{"val/accuracy": "nan", "train/accuracy": "nan"})))


# Weights


def a_sparse_net() -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 2))
    with torch.no_grad():
        net[0].weight[:15] = 0
    return net


def labels_of(ax: Any) -> list[str]:
    return [text.get_text() for text in ax.get_yticklabels()]


def test_weights_are_rows_that_say_their_zeros():
    ax = rt.plot.weights(a_sparse_net())
    assert labels_of(ax) == ["0.weight\n30×20, 50 % zeros", "2.weight\n2×30, 0 % zeros"]
    assert ax.get_xscale() == "log"
    assert len(ax.collections) == 2
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first layer on top


def test_the_median_is_that_of_what_is_not_zero():
    net = nn.Linear(5, 1, bias=False)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[0.0, 0.0, -1.0, 2.0, -4.0]]))
    ax = rt.plot.weights(net)
    assert lines_of(ax)["median"][0] == [2.0, 2.0]


def test_norms_by_unit():
    ax = rt.plot.weights(a_sparse_net(), by="unit")
    assert labels_of(ax)[0] == "0.weight\n30 units, 50 % zeros"
    assert ax.get_xlabel().startswith("‖unit‖₂")
    net = nn.Conv2d(2, 1, 3)
    rt.plot.weights(net, by="unit")
    (norm,) = {*lines_of(ax := rt.plot.weights(net, by="unit"))["median"][0]}
    assert norm == pytest.approx(net.weight.norm().item())


@pytest.mark.parametrize(
    "bind",
    [
        lambda net: rt.L1(0.1).on(net),
        lambda net: rt.MaxNorm(1.0).on(net),
        lambda net: rt.L1(0.1).on(net) + rt.L2(0.1).on(net),
    ],
)
def test_a_bound_rule_shows_its_weights(bind: Any):
    net = a_sparse_net()
    assert labels_of(rt.plot.weights(bind(net))) == labels_of(rt.plot.weights(net))
    assert len(labels_of(rt.plot.weights(net, select="all"))) == 4


def test_weights_of_zeros_and_of_no_finite_value_are_rows_without_a_shape():
    net = a_sparse_net()
    with torch.no_grad():
        net[0].weight.zero_()
        net[2].weight.fill_(math.nan)
    ax = rt.plot.weights(net)
    assert labels_of(ax) == ["0.weight\n30×20, 100 % zeros", "2.weight\n2×30, 0 % zeros, 60 not finite"]
    assert len(ax.collections) == 0


def test_nearly_all_zeros_are_not_rounded_to_all():
    net = nn.Linear(100, 100)
    with torch.no_grad():
        net.weight.zero_()
        net.weight[0, 0] = 1
    assert labels_of(rt.plot.weights(net)) == ["weight\n100×100, 99.99 % zeros"]


def test_half_precision_and_equal_weights_are_drawn():
    net = nn.Linear(4, 4).to(torch.bfloat16)
    nn.init.constant_(net.weight, 0.5)
    assert len(rt.plot.weights(net).collections) == 1


def test_what_has_no_weights_is_refused():
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    with pytest.raises(ValueError, match="acts on no trainable weight; give the net instead"):
        rt.plot.weights(rt.Activity(rt.L1(0.1), select="type:ReLU").on(net))
    with pytest.raises(TypeError, match="source must be a net or a bound rule, received"):
        rt.plot.weights(rt.L1(0.1))
    with pytest.raises(TypeError, match="select is for a net"):
        rt.plot.weights(rt.L1(0.1).on(net), select="all")
    with pytest.raises(ValueError, match="by must be 'element' or 'unit', received 'row'"):
        rt.plot.weights(net, by="row")
    with pytest.raises(ValueError, match="'weight' is on the meta device"):
        rt.plot.weights(nn.Linear(2, 2, device="meta"))
    with pytest.raises(rt.SelectionError):
        rt.plot.weights(net, select="name:nothing")


@pytest.mark.script
def test_without_matplotlib_the_remedy_is_named():
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import torch, regtorch as rt\n"
        "try: rt.plot.weights(torch.nn.Linear(2, 2))\n"
        "except ModuleNotFoundError as error: print(error)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    expected = "matplotlib is not installed; install what plot.weights needs: pip install 'regtorch[train]'"
    assert result.stdout.strip() == expected
