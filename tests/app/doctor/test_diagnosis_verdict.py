"""When one set of short trainings is better than another."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan

from regtorch.app.doctor.held_out import Held
from regtorch.app.doctor.short_run import ShortRun, TrainingOutcome
from regtorch.app.doctor.verdict import gain


def run(losses: list[float], score: float = 0.5) -> ShortRun:
    """With a held-out loss, and those without each group."""
    mean = sum(losses) / len(losses)
    outcome = TrainingOutcome("", (), mean, mean, score, "accuracy", (mean,), 0.0)
    return ShortRun(outcome, Held(mean, score, losses, [score] * len(losses)), 3.0, CONSTANT, 0.0, 0.0, 0.0, cut=False)


EVEN = [1.0] * 20


CONSTANT = Held(2.3, 0.1, [2.3], [0.1])


def test_only_a_difference_beyond_noise_and_margin_counts():
    scattered = [0.8 + 0.4 * (n % 2) for n in range(20)]
    better = [0.5] * 20
    assert gain([run(EVEN)] * 2, [run(better)] * 2).better
    assert gain([run(EVEN)] * 2, [run(EVEN)] * 2).not_better
    noisy = gain([run(EVEN)] * 2, [run([x - 0.2 for x in scattered])] * 2)
    assert not noisy.better
    assert not noisy.not_better
    assert not gain([run(EVEN)] * 2, [run([0.98] * 20)] * 2).better  # too little to care about
    seeds = gain([run(EVEN), run(EVEN)], [run(better), run([1.6] * 20)])
    assert not seeds.better
    assert not seeds.not_better


def test_one_seed_has_to_show_more_than_several():
    slightly = run([0.94] * 20)
    assert gain([run(EVEN)] * 2, [slightly] * 2).better
    assert not gain([run(EVEN)], [slightly]).better


def test_a_better_score_does_not_excuse_a_worse_loss():
    assert not gain([run(EVEN)] * 2, [run([2.0] * 20, score=0.9)] * 2).better
    assert gain([run(EVEN)] * 2, [run(EVEN, score=0.9)] * 2).better


def test_diverging_is_worse_than_anything():
    lost = replace(run(EVEN), held=Held(inf, nan, [inf] * 20, [nan] * 20))
    assert gain([lost], [run(EVEN)]).better
    assert not gain([run(EVEN)], [lost]).better
    assert not gain([lost], [lost]).better
