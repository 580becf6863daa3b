"""What the report's charts are given: settings, axes, links, and what is not finite."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from regtorch.app.pages.environment import environment
from regtorch.app.report.chart import chart_of, rounded
from regtorch.app.report.collect import collect
from regtorch.app.report.experiments import experiments_of
from regtorch.app.report.links import Address, beside, nowhere
from report_runs import a_grid, a_path, a_run


def chart(folder: Path, address: Address = nowhere, points: int = 100_000) -> dict[str, Any]:
    [experiment] = experiments_of(collect(folder).entries)
    return chart_of(experiment, "1-x", address, points)


def axis(data: dict[str, Any], label: str) -> dict[str, Any]:
    [found] = [one for one in data["axes"] if one["label"] == label]
    return found


def test_settings_and_results_are_axes(tmp_path: Path):
    a_grid(tmp_path, ["none", "l1"], [1e-3, 1e-2], [0, 1])
    data = chart(tmp_path, beside(tmp_path / "report.html"))
    labels = [one["label"] for one in data["axes"]]
    assert labels[:4] == ["strength λ (reg.lam)", "reg", "seed", "val accuracy, best epoch"]
    assert {"train task loss, last epoch", "gap: train − val", "val penalty, last epoch"} <= set(labels)
    assert data["axes"][data["y"]]["label"] == "val accuracy, best epoch"
    assert axis(data, "strength λ (reg.lam)")["log"]
    assert axis(data, "reg")["named"]
    assert data["factors"][0]["values"] == ["l1", "none"]
    lam = dict(zip(data["runs"]["name"], axis(data, "strength λ (reg.lam)")["values"], strict=True))
    assert lam["4"] == 1e-3
    assert lam["2"] is None, "without a penalty there is no strength"
    [strength] = [factor for factor in data["factors"] if factor["key"] == "reg.lam"]
    assert strength["values"] == ["0.001", "0.01"]
    assert sorted(map(str, strength["of"])) == ["0", "1", "None"]
    assert dict(zip(data["runs"]["name"], data["runs"]["href"], strict=True))["4"] == "4"
    json.dumps(data, allow_nan=False)


def test_what_is_not_finite_or_far_away_is_told_apart(tmp_path: Path):
    for number in range(8):
        folder = a_run(tmp_path / str(number), f"reg.lam={number + 1}", lam=number + 1.0)
        summary = json.loads((folder / "summary.json").read_text())
        summary["final"]["val/task_loss"] = None if number == 3 else 1e9 if number == 4 else 1 + number / 100
        (folder / "summary.json").write_text(json.dumps(summary))
    losses = axis(chart(tmp_path), "val task loss, last epoch")
    assert sorted(map(str, losses["values"]))[-1] == "nan"
    assert losses["near"] == [1.0, 1.07]
    assert "near" not in axis(chart(tmp_path), "strength λ (reg.lam)")
    assert [rounded(value) for value in (None, math.nan, -math.inf, 1 / 3)] == [None, "nan", "nan", 0.333333]


def test_a_seed_that_no_browser_can_draw_is_left_out(tmp_path: Path):
    for number, seed in enumerate((10**400, 2**53 + 1, 7)):
        a_run(tmp_path / str(number), f"seed={seed}", seed=seed)
    assert sorted(map(str, axis(chart(tmp_path), "seed")["values"])) == ["7.0", "None", "None"]


def test_members_of_a_path_have_no_time_of_their_own(tmp_path: Path):
    summary = a_path(tmp_path / "path", [1e-3, 1e-2], [0]) / "summary.json"
    summary.write_text(json.dumps({**json.loads(summary.read_text()), "seconds": 5.0}))
    assert "time, s" not in [one["label"] for one in chart(tmp_path)["axes"]]
    (tmp_path / "path").rename(tmp_path / ".path")
    a_run(tmp_path / "run", "reg=l2", seconds=5.0)
    assert axis(chart(tmp_path), "time, s")["values"] == [5.0]


def test_curves_are_thinned_to_what_a_page_can_hold(tmp_path: Path):
    a_grid(tmp_path, ["l1", "l2"], [1e-3], [0, 1], epochs=150)
    for points, most in ((100_000, 101), (6 * 2 * 20, 21), (0, 9)):
        curves = chart(tmp_path, points=points)["curves"]
        assert [one["label"] for one in curves["metrics"]][:2] == ["val accuracy", "train accuracy"]
        [epochs] = curves["epochs"]  # which all lines share
        assert (epochs[0], epochs[-1]) == (1, 150)
        for one in curves["metrics"]:
            assert [setting for setting, _, _ in one["lines"]] == [0, 1]
            assert all(place == 0 and len(values) == len(epochs) <= most for _, place, values in one["lines"])


@pytest.mark.parametrize(
    ("page", "folder", "address"),
    [
        ("/a/report.html", "/a/run #1/ä%", "run%20%231/%C3%A4%25"),
        ("/a/pages/report.html", "/a/run", "../run"),
        ("/a/report.html", "/a", "."),
        ("/a/report.html", "/a/javascript:alert(1)", "./javascript%3Aalert%281%29"),
    ],
)
def test_links_lead_from_the_page_to_a_folder(page: str, folder: str, address: str):
    assert beside(Path(page))(Path(folder)) == address


def test_data_cannot_end_the_element_that_holds_it():
    text = environment().filters["as_json"]({"a": "</script><!--<script>"})
    assert "<" not in text
    assert json.loads(text) == {"a": "</script><!--<script>"}
