"""What the report's page compares: runs of the same data, with those of reg=none, and scores by the digits shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from regtorch.app.record.overrides import setting_of
from regtorch.app.report.collect import collect
from regtorch.app.report.experiments import experiments_of
from regtorch.app.report.page import report
from report_runs import a_run


def shown(folder: Path) -> str:
    """The text of the page in a line."""
    path, _ = report(folder)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", path.read_text(encoding="utf-8")))


def a_run_of(folder: Path, option: str, data: Mapping[str, Any], *overrides: str) -> None:
    choices = {"model": "mlp", "data": option, "reg": "l2"}
    given = [f"data={option}", *(f"data.{key}={value}" for key, value in data.items())]
    a_run(folder, *given, *overrides, choices=choices, config={"seed": 0, "data": data})


@pytest.mark.parametrize(
    ("option", "one", "other", "titles"),
    [
        (
            "csv",
            {"file": "a.csv", "target": "y"},
            {"file": "b.csv", "target": "y"},
            ["mlp on csv a.csv, y", "mlp on csv b.csv, y"],
        ),
        (
            "csv",
            {"file": "a.csv", "target": "y"},
            {"file": "a.csv", "target": -1},
            ["mlp on csv a.csv, -1", "mlp on csv a.csv, y"],
        ),
        ("folder", {"dir": "cats"}, {"dir": "dogs"}, ["mlp on folder cats", "mlp on folder dogs"]),
        ("npz", {"dir": "a.npz"}, {"dir": "b.npz"}, ["mlp on npz a.npz", "mlp on npz b.npz"]),
    ],
    ids=["files", "targets", "folders", "arrays"],
)
def test_other_data_of_the_user_is_another_ranking(
    tmp_path: Path, option: str, one: dict[str, Any], other: dict[str, Any], titles: list[str]
):
    a_run_of(tmp_path / "0", option, one)
    a_run_of(tmp_path / "1", option, other)
    a_run_of(tmp_path / "2", option, other, "optimizer.lr=1")
    found = experiments_of(collect(tmp_path).entries)
    assert sorted(experiment.title for experiment in found) == titles
    assert [len(experiment.settings) for experiment in found] == [2, 1]


def test_the_folder_of_a_data_set_that_has_a_name_is_no_difference_and_that_of_own_images_is():
    assert setting_of(["data=mnist", "data.dir=a"]) == setting_of(["data=mnist", "data.dir=b"])
    assert setting_of(["data=folder", "data.dir=a"]) != setting_of(["data=folder", "data.dir=b"])


def scored(folder: Path, reg: str, seed: int, score: float) -> None:
    best = {"epoch": 1, "val/accuracy": score, "val/task_loss": 1.0}
    a_run(folder / f"{reg}{seed}", f"reg={reg}", f"seed={seed}", reg=reg, seed=seed, best=best)


def test_the_best_setting_is_compared_with_none_in_words(tmp_path: Path):
    for seed in (0, 1):
        scored(tmp_path, "none", seed, 0.8 + seed / 100)
        scored(tmp_path, "l2", seed, 0.9 + seed / 50)
    said = "The best setting against reg=none: val accuracy 0.910 ± 0.014 instead of 0.805 ± 0.007 (+0.105 ± 0.007), "
    assert said + "over the 2 seeds that both have." in shown(tmp_path)


def test_a_single_seed_may_be_chance_and_nothing_is_compared_without_none(tmp_path: Path):
    scored(tmp_path / "a", "l2", 0, 0.9)
    assert "against reg=none" not in shown(tmp_path / "a")
    scored(tmp_path / "a", "none", 0, 0.8)
    said = "against reg=none: val accuracy 0.900 instead of 0.800 (+0.100), one seed, which may be chance."
    assert said in shown(tmp_path / "a")
    scored(tmp_path / "b", "l2", 0, 0.7)
    scored(tmp_path / "b", "none", 0, 0.8)
    assert "against reg=none" not in shown(tmp_path / "b")  # the best has no penalty


def test_equal_digits_that_are_no_tie_are_said(tmp_path: Path):
    for number, (reg, score) in enumerate([("l1", 0.9001), ("l2", 0.9002), ("none", 0.8)]):
        scored(tmp_path, reg, number, score)
    text = shown(tmp_path)
    assert "1 other with the same score in the digits shown; further ones decide." in text
    assert "tied" not in text.partition("Best settings")[2].partition("All settings")[0]
    scored(tmp_path / "more", "l1l2", 0, 0.9002)
    text = shown(tmp_path)
    assert "tied with 1 other setting" in text
    assert "1 other with the same score in the digits shown; further ones decide." in text


def test_the_sign_of_the_gap_is_said(tmp_path: Path):
    scored(tmp_path, "l2", 0, 0.9)
    assert "The gap is train − val after the last epoch, above 0 where a net overfits." in shown(tmp_path)
