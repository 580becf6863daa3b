"""What short trainings prove, refute and leave open, on the embedded digits and on generated numbers."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from time import perf_counter

import pytest
import torch
from torch import nn

from places import CONF
from regtorch.app.config.compose import composed
from regtorch.app.doctor import proofs as proofs_module
from regtorch.app.doctor.budget import Budget, plan_budget
from regtorch.app.doctor.proofs import Proof, prove
from regtorch.app.doctor.short_run import Trainings
from regtorch.app.doctor.variants import proposal
from regtorch.doctor.causes import Severity
from regtorch.doctor.finding import Finding
from regtorch.doctor.remedy import Remedy

Prove = Callable[..., list[Proof]]
CFG, _ = composed(CONF, [])
INPUTS, HEAD, NORM = Remedy("standardised inputs"), Remedy("no last activation"), Remedy("no batch norm")
DIGITS = ["model=mnist_mlp", "data=digits", "trainer=cpu"]
DISTANCE = ["model=distance", "data=distance", "optimizer=adam", "data.standardize=true", "trainer=cpu"]


def finding(cause: str, remedy: Remedy | None = None, severity: Severity = "severe", **numbers: float) -> Finding:
    return Finding(cause, "weight", severity, numbers, why="", change="", remedy=remedy)


def strength(value: float) -> Remedy:
    return Remedy("strength", value=value)


def dropout(rate: float) -> Remedy:
    return Remedy("dropout rate", value=rate)


@pytest.fixture
def proofs(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Proof]]:
    """Proofs by a plan that no machine's load changes."""
    monkeypatch.setattr(
        proofs_module, "plan_budget", lambda *_: Budget(steps=120, seeds=2, seed=0, seconds_a_run=1000.0)
    )
    monkeypatch.setattr(proofs_module, "_MORE_SEEDS", 2)
    monkeypatch.setattr(proofs_module, "_LONGEST", 1)
    return lambda overrides, *findings: prove(overrides, findings, CONF, seconds=1000.0)


# Short trainings


def test_a_short_training_is_repeatable_and_leaves_random_numbers_alone():
    trainings = Trainings(CONF, [*DIGITS, "reg=l2", "reg.lam=0.01"])
    before = torch.get_rng_state()
    first, second = (trainings.run("as is", steps=20) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert first.outcome.curve == second.outcome.curve
    assert first.held == second.held
    assert len(first.outcome.curve) == first.steps == 20
    # The data is loaded once: a fresh start comes to the same.
    assert Trainings(CONF, trainings.overrides).run("as is", steps=20).outcome.curve == first.outcome.curve
    assert trainings.run("another seed", steps=20, seed=1).outcome.curve != first.outcome.curve


def test_variants_differ_in_what_was_changed_alone():
    trainings = Trainings(CONF, [*DIGITS, "reg=l2", "reg.lam=0.5"])
    as_is, without, zero = (trainings.run("", change, steps=20) for change in ([], ["reg=none"], ["reg.lam=0"]))
    assert as_is.outcome.curve[0] == without.outcome.curve[0]
    assert as_is.outcome.curve[-1] > without.outcome.curve[-1]
    assert without.outcome.curve == zero.outcome.curve


def test_the_losses_that_outcomes_are_measured_by():
    run = Trainings(CONF, DIGITS).run("as is", steps=200)
    assert run.constant.loss == pytest.approx(torch.tensor(10.0).log().item(), abs=0.02)  # all digits are as frequent
    assert run.constant.score < 0.2
    assert run.held.loss < run.constant.loss < run.untrained + 0.5
    assert run.learnt
    assert run.outcome.score > 0.7
    assert len(run.held.losses) == 20
    assert min(run.held.losses) < run.held.loss < max(run.held.losses)


def test_a_training_that_diverges_is_infinitely_bad():
    run = Trainings(CONF, [*DISTANCE, "optimizer=sgd", "optimizer.lr=1e6"]).run("as is", steps=50)
    assert run.held.loss == inf
    assert run.steps < 50


# Proofs


def test_a_penalty_that_rules_is_proved_and_cured(proofs: Prove):
    (proof,) = proofs([*DIGITS, "reg=l2", "reg.lam=1"], finding("penalty_dominates", strength(1e-04)))
    assert proof.verdict == "proved"
    assert proof.without is not None
    assert proof.cured is not None
    assert (proof.as_is.label, proof.without.overrides, proof.cured.overrides) == (
        "as is",
        ("reg=none",),
        ("reg.lam=1e-04",),
    )
    assert proof.as_is.val_loss > 1.5 * proof.cured.val_loss
    assert proof.as_is.score < proof.cured.score
    assert "validation loss" in proof.why


@pytest.mark.slow
def test_a_penalty_that_does_nothing_is_acquitted(proofs: Prove):
    (proof,) = proofs([*DIGITS, "reg=l2", "reg.lam=1e-7"], finding("penalty_dominates", strength(1e-09)))
    assert proof.verdict == "refuted"


@pytest.mark.slow
def test_what_needs_more_steps_is_left_open(proofs: Prove):
    slow = finding("penalty_dominates", strength(1e-09), half_life_in_steps=1e6)
    (proof,) = proofs([*DIGITS, "reg=l2", "reg.lam=1e-7"], slow)
    assert proof.verdict == "undecided"
    assert "steps" in proof.why


@pytest.mark.slow
def test_a_cure_that_does_not_help_is_said(proofs: Prove):
    (proof,) = proofs([*DIGITS, "reg=l2", "reg.lam=1"], finding("penalty_dominates", strength(0.9)))
    assert proof.verdict == "proved"
    assert "the change reg.lam=9e-01 does not visibly help" in proof.why


@pytest.mark.slow
def test_inputs_are_standardised_in_the_experiment(proofs: Prove):
    (proof,) = proofs([*DISTANCE[:3], "trainer=cpu", "data.samples=1000"], finding("input_offset", INPUTS))
    assert proof.verdict == "proved"
    assert proof.cured is not None
    assert (proof.cured.overrides, proof.cured.label) == ((), "inputs standardised")


@pytest.mark.slow
def test_a_head_that_cannot_reach_the_targets(proofs: Prove):
    overrides = [*DISTANCE, "model.net.head=sigmoid", "data.samples=1000"]
    (proof,) = proofs(overrides, finding("target_outside_head", HEAD))
    assert proof.verdict == "proved"
    assert proof.cured is not None
    assert "without the activation" in proof.cured.label
    (open_head,) = proofs(DISTANCE, finding("target_outside_head", HEAD))  # there is none that could be left out
    assert open_head.verdict == "undecided"
    assert "no activation" in open_head.why


@pytest.mark.slow
def test_a_batch_norm_is_left_out(proofs: Prove):
    overrides = ["model=bn_mlp", "data=digits", "model.net.units=5", "trainer=cpu"]
    (proof,) = proofs(overrides, finding("norm_idle", NORM, severity="warning"))
    (plain,) = proofs([*overrides, "model.net.bn=false"], finding("norm_idle", NORM, severity="warning"))
    assert proof.cured is not None
    assert proof.cured.label == "without the batch norm"
    assert proof.as_is.curve != proof.cured.curve == plain.as_is.curve


def test_dead_units_are_cured_by_rate_and_inputs_together():
    (cured,) = proposal(finding("dead_relus", Remedy("rate", value=1e-5, also=INPUTS)), CFG).changes()
    assert (cured.overrides, len(cured.prepares)) == (("optimizer.lr=1e-05",), 1)
    assert "inputs standardised" in cured.label


class Backwards(nn.Module):
    """A softmax over samples in place of classes."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(28 * 28, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x.flatten(1)).softmax(0)


@pytest.mark.slow
def test_a_softmax_over_samples_is_left_out(proofs: Prove):
    made = "model.net._target_=test_diagnosis_proofs.Backwards", "~model.net.hidden", "~model.net.dropout"
    (proof,) = proofs([*DIGITS, *made, "model.select=kernel"], finding("softmax_over_wrong_dim", HEAD))
    assert proof.verdict == "proved"
    assert proof.cured is not None
    assert proof.cured.val_loss < 0.5 * proof.as_is.val_loss


@pytest.mark.slow
def test_a_cause_that_another_hides_is_proved_beside_the_other_cures(proofs: Prove):
    overrides = [*DISTANCE[:2], "optimizer=sgd", "optimizer.lr=1e-8", "data.samples=1000", "trainer=cpu"]
    offset, rate = proofs(
        overrides,
        finding("input_offset", INPUTS),
        finding("rate_too_small", Remedy("rate", value=0.02)),
    )
    assert (offset.verdict, rate.verdict) == ("proved", "proved")
    assert offset.why.startswith("beside the other changes")
    assert offset.as_is.label == "as is"


def test_findings_that_no_training_can_tell_of(proofs: Prove):
    assert proofs(DIGITS, finding("loss_at_chance", severity="info")) == []
    (proof,) = proofs(DIGITS, finding("imbalance", severity="warning"))
    assert (proof.verdict, proof.without, proof.cured) == ("undecided", None, None)


@pytest.mark.slow
def test_a_cause_found_twice_is_tried_once(proofs: Prove):
    twice = (
        finding("dropout_too_strong", dropout(0.2)),
        finding("dropout_too_strong", dropout(0.2)),
    )
    assert [proof.cause for proof in proofs(DIGITS, *twice)] == ["dropout_too_strong"]


def test_without_time_nothing_is_decided():
    many = [
        finding("penalty_dominates", strength(0.001)),
        finding("dropout_too_strong", dropout(0.1)),
    ]
    found = prove([*DIGITS, "reg=l2", "reg.lam=1"], many, CONF, seconds=0.0)
    assert [proof.verdict for proof in found] == ["undecided", "undecided"]
    assert all("time" in proof.why for proof in found)


@pytest.mark.slow
def test_steps_that_take_longer_than_planned_leave_time_for_the_change(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        proofs_module, "plan_budget", lambda *_: Budget(steps=10**6, seeds=1, seed=0, seconds_a_run=1.0)
    )
    (found,) = prove([*DIGITS, "reg=l2"], [finding("penalty_dominates", strength(0.001))], CONF, seconds=120.0)
    assert found.without is not None
    assert found.cured is not None
    assert 0 < len(found.as_is.curve) == len(found.without.curve) == len(found.cured.curve) < 10**6


def test_a_set_up_that_cannot_be_trained_at_all_and_its_cure(proofs: Prove):
    overrides = ["model=bn_mlp", "data=digits", "trainer=cpu", "model.net.units=16", "data.batch_size=1"]
    (proof,) = proofs(overrides, finding("batch_of_one", Remedy("batch size", value=32)))
    assert proof.verdict == "proved"
    assert proof.as_is.val_loss == inf
    assert "more than 1 value per channel" in proof.as_is.label


def test_the_plan_shares_out_the_time():
    def made(seconds: float, settings: int, horizon: float = 0.0) -> Budget:
        return plan_budget(Trainings(CONF, [*DIGITS, "seed=3"]), settings, horizon, perf_counter() + seconds)

    short, long = made(3.0, 5), made(600.0, 2)
    assert short.steps < long.steps
    assert (long.seeds, long.seed, long.overrides) == (3, 3, ())
    assert made(600.0, 2, horizon=1000.0).steps >= 1000
    hurried = made(0.3, 50)
    assert hurried.seeds == 1
    assert hurried.overrides == ("data.batch_size=8",)


def test_what_is_proposed():
    dominated = proposal(finding("penalty_dominates", strength(1e-4), half_life_in_steps=40.0), CFG)
    assert [change.overrides for change in dominated.changes()] == [("reg=none",), ("reg.lam=1e-04",)]
    assert dominated.horizon == 60
    assert [c.overrides for c in proposal(finding("dropout_too_strong", dropout(0)), CFG).changes()] == [
        ("reg.rate=0",)
    ]
    assert proposal(finding("rate_too_small", Remedy("rate", value=0.1)), CFG).without is None
    assert proposal(finding("imbalance"), CFG).changes() == []
