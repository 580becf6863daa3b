"""Which of two is better."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest

from regtorch.app.record.ranking import Rank, best_epoch, best_of, named, ordered, rank_of
from regtorch.app.record.run_record import RunRecord
from regtorch.plot.labels import label_of_metric

BETTER_FIRST = [
    Rank("val/accuracy", 0.9, loss=2.0, strengths={"reg.lam": 5.0}),
    Rank("val/accuracy", 0.8, loss=0.1, strengths={"reg.lam": 5.0}),
    Rank("val/accuracy", 0.8, loss=0.2),
    Rank("val/accuracy", 0.8, loss=0.2, strengths={"reg.lam": 0.1}),
    Rank("val/accuracy", 0.8, loss=0.2, strengths={"reg.lam": 0.2, "reg.rate": 0.0}),
    Rank("val/accuracy", 0.8, loss=0.2, strengths={"reg.lam": 0.1, "constraint.max_value": 3.0}),
    Rank("val/accuracy", 0.8, loss=0.2, strengths={"reg.lam": 0.1, "constraint.max_value": 2.0}),
    Rank("val/accuracy", 0.8, loss=0.2, strengths={"reg.lam": 0.1, "reg.rate": 0.1, "constraint.max_value": 9.0}),
    Rank("val/accuracy", 0.8),
    Rank("val/accuracy", 1.0, loss=0.0, diverged=True),
]


def test_the_score_then_the_loss_then_the_simpler_rule():
    assert ordered(reversed(BETTER_FIRST), lambda rank: rank) == BETTER_FIRST
    for better, worse in pairwise(BETTER_FIRST):
        assert better.beats(worse)
        assert not worse.beats(better)
        assert not better.beats(better)


def test_of_a_loss_less_is_better_and_a_loss_that_is_not_finite_is_the_highest():
    assert Rank("val/loss", 0.1, maximize=False).beats(Rank("val/loss", 0.2, maximize=False))
    assert Rank("val/accuracy", 0.5, loss=9.0).beats(Rank("val/accuracy", 0.5, loss=math.nan))


def test_other_metrics_cannot_be_compared_and_what_has_no_rank_is_never_best():
    ranks = [None, Rank("val/loss", 0.5, maximize=False), Rank("val/accuracy", 0.9), None]
    assert best_of(ranks, lambda rank: rank) is ranks[1]
    assert best_of([None, None], lambda rank: rank) is None
    assert ordered([None, ranks[2]], lambda rank: rank) == [ranks[2], None]


def test_a_run_is_ranked_by_what_its_best_checkpoint_is_chosen_by():
    checkpoint = {"_target_": "lightning.pytorch.callbacks.ModelCheckpoint", "monitor": "val/loss", "mode": "min"}
    final, best = {"val/r2": 0.5, "val/loss": 2.0}, {"val/r2": 0.6, "val/loss": 1.0, "val/task_loss": 0.7}
    chosen: dict[str, Any] = {"callbacks": {"best": checkpoint, "last": {}, "none": None}, "reg": {"lam": 0.1}}
    assert rank_of(RunRecord(final=final, best=best, config=chosen)) == Rank(
        "val/loss", 1.0, maximize=False, loss=0.7, strengths={"reg.lam": 0.1}
    )
    assert rank_of(RunRecord(final=final, best=best)) == Rank("val/r2", 0.6, loss=0.7)
    assert rank_of(RunRecord(final=final, config={"callbacks": {}})) == Rank("val/r2", 0.5)
    assert rank_of(RunRecord(final={"val/r2": None})) is None


def test_the_best_epoch_is_the_first_of_equals_by_the_first_metric_there_is():
    epochs = [{"epoch": n, "val": v, "train": -v} for n, v in enumerate((1.0, 2.0, 2.0, math.nan))]
    assert best_epoch(epochs, "val", "train") == epochs[1]
    assert best_epoch(epochs, "gone", "train") == epochs[0]
    assert best_epoch(epochs, "gone") is None


@pytest.mark.parametrize(("name", "shown"), [("r2", "R²"), ("val/r2", "val/R²"), ("accuracy", "accuracy")])
def test_names(name: str, shown: str):
    assert label_of_metric(name) == shown
    assert named("val/score", ["train/r2"]) == "val/r2"
    assert named("val/loss", ["train/r2"]) == "val/loss"
