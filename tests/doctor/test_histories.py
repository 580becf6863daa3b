"""`rt.read_history` on recorded trainings, healthy or with a fault, and on the tables that the documents print."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

import regtorch as rt
from places import SHARED
from recorded_histories import FILE
from small_trainings import classes_of

RECORDED = json.loads(FILE.read_text())
DOCUMENTS = SHARED / "documents"
# What a recorded case must be told to be, and what else it may be told beyond notes.
FAULTS = {
    "healthy": (set(), set()),
    "overfitting": ({"overfitting"}, set()),
    "never_left_chance": ({"never_left_chance", "constant_loss"}, {"penalty_dominates"}),
    "constant_loss": ({"constant_loss"}, set()),
    "penalty_dominates": ({"penalty_dominates", "never_left_chance"}, set()),
    "diverges": ({"diverges"}, set()),
    "batch_norm_lag": ({"batch_norm_lag"}, {"overfitting"}),
    "validation_noise": ({"validation_noise"}, {"overfitting"}),
    "validation_better": ({"validation_better"}, set()),
    "rate_step": ({"rate_step"}, {"overfitting"}),
    "still_improving": ({"still_improving"}, set()),
    "plateau": ({"plateau"}, set()),
}


def fault_of(name: str) -> str:
    return next(fault for fault in FAULTS if name.startswith(fault))


@pytest.mark.parametrize("told", [False, True], ids=["classes unknown", "classes given"])
def test_faults_are_named_and_healthy_trainings_left_alone(told: bool):
    missed, alarms = [], {}
    for name, series in RECORDED.items():
        expected, allowed = FAULTS[fault_of(name)]
        needed = name.startswith("penalty")  # without them, a penalty that is not logged looks like a loss
        found = rt.read_history(series, classes=classes_of(name) if told or needed else None)
        causes = {finding.cause for finding in found}
        if expected and not causes & expected:
            missed.append(name)
        grave = {f.cause for f in found if f.severity != "info"} - expected - allowed
        if grave:
            alarms[name] = grave
        assert all(math.isfinite(v) for f in found for k, v in f.numbers.items() if k == "epoch"), name
    assert len(RECORDED) > 100
    assert (missed, alarms) == ([], {})


@pytest.mark.parametrize("name", [name for name in RECORDED if name.startswith("overfitting_l")])
def test_overfitting_begins_where_the_validation_loss_is_lowest(name: str):
    found = next(f for f in rt.read_history(RECORDED[name]) if f.cause == "overfitting")
    losses = RECORDED[name]["val_loss"]
    if found.severity == "warning":
        lowest = min(losses)
        assert losses[int(found.numbers["epoch"]) - 1] <= 1.02 * lowest
        assert found.remedy is not None
        assert found.remedy.python() == f"epochs = {found.numbers['epoch']:g}"


def document(start: str) -> Path:
    found = sorted(DOCUMENTS.glob(f"{start}*.txt"))
    if not found:
        pytest.skip("the documents are not here")
    return found[0]


def test_the_cifar_table_without_a_regularizer_only_ends_too_early():
    found = rt.read_history(document("000"), run=1)
    assert [f.cause for f in found if f.severity != "info"] == ["still_improving"]
    assert found.history.val["accuracy"] == {1.0: 0.4894, 2.0: 0.4870, 3.0: 0.5657}


@pytest.mark.parametrize("classes", [None, 10])
def test_the_cifar_table_with_l2_is_a_penalty(classes: int | None):
    found = rt.read_history(document("000"), run=2, classes=classes)
    assert [(f.cause, f.severity) for f in found if f.severity != "info"] == [("penalty_dominates", "warning")]
    assert found[0].numbers["share"] > 0.2


def test_the_photographs_table_is_healthy_and_validation_is_easier():
    found = rt.read_history(document("001"))
    assert {f.cause: f.severity for f in found} == {"still_improving": "info", "validation_better": "info"}
    assert "augmentation" in found[1].why


def test_the_sigmoid_table_never_left_chance():
    found = rt.read_history(document("002"))
    assert (found[0].cause, found[0].severity) == ("never_left_chance", "severe")
    assert found[0].numbers["classes"] == 10  # told from the table
    assert "same class" in found[0].why
    assert "penalty" in found[0].why


def test_two_tables_in_one_text_need_a_choice():
    with pytest.raises(ValueError, match=r"2 trainings, of 3 epochs, 3 epochs; choose one by run=1 to run=2"):
        rt.read_history(document("000"))
    with pytest.raises(ValueError, match="run must be at most 2"):
        rt.read_history(document("000"), run=3)


def test_penalty_and_task_loss_that_are_logged_apart_are_told_apart():
    """The task overfits although the whole loss falls; the penalty's share is that of its own series."""
    task = [1.0, 0.6, 0.5, 0.55, 0.65, 0.8, 0.9, 1.0]
    penalty = [8.0 * 0.6**epoch + 1.5 for epoch in range(8)]
    own = [1.1, 0.6, 0.4, 0.3, 0.2, 0.1, 0.06, 0.03]
    series = {"train/task_loss": own, "train/penalty": penalty, "val/task_loss": task, "val/penalty": penalty}
    series |= {
        f"{s}/loss": [a + b for a, b in zip(t, penalty, strict=True)] for s, t in (("train", own), ("val", task))
    }
    found = {f.cause: f for f in rt.read_history(series)}
    assert found["overfitting"].numbers["epoch"] == 3
    assert found["penalty_dominates"].numbers["share"] == pytest.approx(0.97, abs=0.02)


def test_a_loss_that_never_comes_back_diverges_however_it_fluctuates():
    (found, *_) = rt.read_history({"loss": [1.33, 0.42, 17.9, 2.75, 4.6, 2.38], "val_loss": [0.5, 0.4, 3.9, 4.1, 2, 2]})
    assert (found.cause, found.severity, found.numbers["epoch"]) == ("diverges", "severe", 3)
    for healthy in ([1.3, 0.4, 0.7, 0.65, 0.5, 0.45], [1.3, 1.0, 4.0, 1.2, 0.9, 0.8]):  # higher, and back
        assert all(f.cause != "diverges" for f in rt.read_history({"loss": healthy}))


def test_nan_is_divergence_from_its_epoch_and_nothing_else_is_read():
    found = rt.read_history({"loss": [1.0, 0.8, math.nan, math.nan], "val_loss": [1.0, 0.9, math.nan, math.inf]})
    assert [(f.cause, f.numbers["epoch"]) for f in found] == [("diverges", 3)]


def test_a_constant_net_of_an_imbalanced_problem_is_at_chance():
    series = {"loss": [0.9, 0.52, 0.501, 0.5005], "accuracy": [0.8] * 4, "val_loss": [0.6, 0.5, 0.5, 0.5]}
    found = rt.read_history({**series, "val_accuracy": [0.8, 0.8, 0.8, 0.8]})
    assert found[0].cause == "never_left_chance"


def test_a_net_that_has_learnt_and_rests_is_not_at_chance():
    """Few validation samples give the same accuracy again and again; a constant net of it has a higher loss."""
    series = {
        "loss": [0.4, 0.36, 0.35, 0.34],
        "accuracy": [0.84, 0.85, 0.85, 0.86],
        "val_loss": [0.4, 0.38, 0.37, 0.36],
    }
    found = rt.read_history({**series, "val_accuracy": [0.85] * 4})
    assert not [f for f in found if f.severity == "severe"]


def test_samples_are_told_from_accuracies_or_given():
    accuracies = [k / 40 for k in (20, 28, 31, 30, 32, 31, 33, 32)]
    series = {"loss": [1 / n for n in range(1, 9)], "accuracy": [0.5 + n / 20 for n in range(8)]}
    series |= {"val_loss": [1.1, 0.7, 0.6, 0.61, 0.58, 0.6, 0.59, 0.58], "val_accuracy": accuracies}
    found = {f.cause: f for f in rt.read_history(series)}
    assert found["validation_noise"].numbers["samples"] == 40
    assert found["validation_noise"].severity == "warning"
    told = {f.cause: f for f in rt.read_history(series, val_samples=400)}
    assert told["validation_noise"].severity == "info"
    assert "validation_noise" not in {f.cause for f in rt.read_history(series, val_samples=50_000)}


def test_it_prints_as_a_page_and_turns_into_plain_values():
    found = rt.read_history(RECORDED["overfitting_letters_0"])
    assert isinstance(found, list)
    text = str(found)
    assert "warning  Overfitting: epoch" in text
    assert "Change: " in text
    assert json.loads(json.dumps(found.to_dict()))["findings"][0]["cause"] == "overfitting"
    assert "Healthy: the curves show nothing to change." in str(type(found)([], found.history))


@pytest.mark.parametrize("classes", [None, 10])
def test_a_loss_that_its_accuracy_allows_needs_no_penalty(classes: int | None):
    """Recorded: a single hidden unit for the ten digits, which no penalty holds down."""
    loss = [2.419, 2.118, 1.972, 1.871, 1.796, 1.738, 1.690, 1.652, 1.619, 1.591, 1.566, 1.545, 1.526, 1.509, 1.493]
    accuracy = [0.143, 0.201, 0.226, 0.241, 0.262, 0.281, 0.301, 0.315, 0.325, 0.339, 0.350, 0.361, 0.368, 0.374, 0.382]
    found = rt.read_history({"loss": loss, "accuracy": accuracy}, classes=classes)
    assert "penalty_dominates" not in {finding.cause for finding in found}
