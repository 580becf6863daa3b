"""Ties are told wherever a best is: in words, and in plots of a path."""

from __future__ import annotations

from pathlib import Path

import pytest

import regtorch as rt
from regtorch.app.record.ranking import tie_remark, tie_words
from regtorch.plot.ties import highest, listed
from regtorch.spread import Spread


@pytest.mark.parametrize(
    ("places", "words"),
    [
        ([0.001], "0.001"),
        ([0.001, 0.01], "0.001 and 0.01"),
        ([0, 0.001, 0.01], "0, 0.001 and 0.01"),
        ([1, 2, 3, 4], "1, 2, 3 and 4"),
        ([1, 2, 3, 4, 5], "1, 2, 3 and 2 others"),
        ([], ""),
    ],
)
def test_places_in_words(places: list[float], words: str):
    assert listed(places) == words


def test_the_highest_are_all_of_the_same_mean():
    nothing = Spread(float("nan"), float("nan"), 0, 2)
    points = {1: Spread(0.5, 0.1, 2), 2: Spread(0.9, 0.2, 2), 3: nothing, 4: Spread(0.9, 0.1, 2)}
    assert highest(points) == [2, 4]
    assert highest({3: nothing}) == []
    assert highest({1: Spread(-2.0, 0.0, 1), 2: Spread(-3.0, 0.0, 1)}) == [1]


def test_ties_with_the_best_in_words():
    assert [tie_words(0), tie_words(1), tie_words(2, "trial")] == [
        *("", "tied with 1 other setting", "tied with 2 other trials"),
    ]
    assert tie_remark(0) == ""
    assert tie_remark(1).startswith("the best setting is tied with 1 other setting: of equal scores, ")


def test_a_plot_of_a_path_marks_all_that_are_tied(tmp_path: Path):
    rows = ["member,lam,epoch,train/accuracy,val/accuracy", "0,0.001,1,1,0.9", "1,0.01,1,1,0.9", "2,0.1,1,0.5,0.5"]
    (tmp_path / "path.csv").write_text("\n".join([*rows, ""]))
    ax = rt.plot.path(tmp_path)
    assert "highest: 0.900 at 0.001 and 0.01" in [text.get_text() for text in ax.get_legend().get_texts()]
    marked = [line.get_xdata()[0] for line in ax.get_lines() if len(set(line.get_xdata())) == 1]
    assert marked == [0.001, 0.01]
