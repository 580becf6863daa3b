"""One bad trial does not squeeze the plots of a search: it is marked at the edge, and counted in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from regtorch.app.record.search import SearchRecord
from regtorch.app.report.trials import trial_panels
from regtorch.plot.drawing import draw
from regtorch.plot.panel import Axis
from report_runs import a_search


def drawn(folder: Path, values: dict[int, float]) -> tuple[Any, str]:
    from matplotlib.figure import Figure

    path = a_search(folder, 30) / "search.json"
    record = json.loads(path.read_text())
    for number, value in values.items():
        record["trials"][number]["value"] = value
    path.write_text(json.dumps(record))
    panel = next(trial_panels(SearchRecord.read(folder)))
    axes = Figure().add_subplot()
    draw(panel, axes)
    return axes, panel.text


def test_a_bad_trial_is_marked_at_the_edge(tmp_path: Path):
    axes, text = drawn(tmp_path, {2: 1e7, 3: -1e9})
    low, high = axes.get_ylim()
    assert -1 < low < 0.3
    assert 1.0 < high < 2
    assert ", 2 values far from the others at the edge; the best, trial 3," in text
    marks = {line.get_marker(): list(line.get_xdata()) for line in axes.get_lines()}
    assert marks["^"] == [2]
    assert marks["v"] == [3]


def test_without_one_nothing_is_marked(tmp_path: Path):
    axes, text = drawn(tmp_path, {})
    assert not {"^", "v"} & {line.get_marker() for line in axes.get_lines()}
    assert "far from" not in text


@pytest.mark.parametrize("values", [[0.1] * 9 + [50.0], [1.0, 1.1, 1.2, 1.3, 1.4, 1e9]])
def test_far_values_alone_make_no_axis_logarithmic(values: list[float]):
    assert Axis.fitting("loss", values).log
    assert not Axis.fitting("loss", values, fenced=True).log
