"""Which strength of a path is best, and what is said of it."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from regtorch.app.ground.errors import RunError
from regtorch.app.path.members import Member, members_of
from regtorch.app.path.outcome import Divergence, Outcome
from regtorch.app.path.printed import print_members
from regtorch.app.path.seed_groups import best_of, best_setting, settings_of


def outcome(number: int, lam: float, seed: int, accuracy: float, loss: float = 1.0) -> Outcome:
    epochs = [
        {"epoch": 1, "val/accuracy": accuracy, "val/task_loss": loss, "train/accuracy": 0.9},
        {"epoch": 2, "val/accuracy": accuracy - 0.1, "val/task_loss": loss, "train/accuracy": 0.9},
    ]
    return Outcome(Member(number, {"lam": lam, "seed": seed}), epochs)


def a_path(scores: dict[float, list[float]]) -> list[Outcome]:
    pairs = [(lam, seed, score) for lam, of_one in scores.items() for seed, score in enumerate(of_one)]
    return [outcome(number, *pair) for number, pair in enumerate(pairs)]


def test_a_strength_is_ranked_by_its_mean_over_seeds():
    outcomes = a_path({0.0: [0.99, 0.50], 0.1: [0.80, 0.82], 1.0: [0.30, 0.30]})
    best = best_setting(settings_of(outcomes, "accuracy"))
    assert best is not None
    assert (best.label, best.metric, str(best.score)) == ("lam=0.1", "val/accuracy", "0.810 ± 0.014")
    assert best_of(best, "accuracy") is outcomes[3]  # of its seeds the better


def test_strengths_with_a_diverged_seed_rank_last():
    outcomes = a_path({0.1: [0.9, 0.9], 1.0: [0.5, 0.5]})
    outcomes[0].diverged = Divergence(1, 1, "train/loss became nan")
    best = best_setting(settings_of(outcomes, "accuracy"))
    assert best is not None
    assert best.label == "lam=1"
    outcomes[2].diverged = outcomes[3].diverged = Divergence(1, 1, "train/loss became nan")
    best = best_setting(settings_of(outcomes, "accuracy"))
    assert best is not None
    assert best.label == "lam=0.1"  # one seed is better than none
    outcomes[1].diverged = Divergence(1, 1, "train/loss became nan")
    assert best_setting(settings_of(outcomes, "accuracy")) is None


def test_validated_settings_rank_before_others():
    outcomes = a_path({0.1: [0.5], 1.0: [0.6]})
    outcomes[1].epochs = [{"epoch": 1, "train/accuracy": 0.9, "train/task_loss": 1.0}]
    best = best_setting(settings_of(outcomes, "accuracy"))
    assert best is not None
    assert best.outcomes[0] is outcomes[0]
    best = best_setting(settings_of(outcomes[1:], "accuracy"))
    assert best is not None
    assert best.metric == "train/accuracy"


def test_seeds_alone_are_settings_of_their_own():
    outcomes = [Outcome(Member(n, {"seed": n}), outcome(0, 0.1, 0, score).epochs) for n, score in enumerate((0.5, 0.6))]
    best = best_setting(settings_of(outcomes, "accuracy"))
    assert best is not None
    assert best.label == "seed=1"


def test_ties_are_reported_and_reach_away_from_the_end_of_a_range(capsys: pytest.CaptureFixture[str]):
    losses = {0.0: 1.0, 0.1: 0.9, 1.0: 0.7}
    outcomes = [outcome(n, lam, 0, 0.8, loss=loss) for n, (lam, loss) in enumerate(losses.items())]
    best = best_setting(settings_of(outcomes, "accuracy"))
    assert best is not None
    assert best.label == "lam=1 seed=0"
    print_members(outcomes, "accuracy", {"command": "python scripts/train.py reg.lam=1.0"})
    out = capsys.readouterr().out
    rule = "of equal scores, the lower task loss leads, then the simpler rule"
    assert f"the best setting is tied with 2 other settings: {rule}" in out
    assert "end of its range" not in out  # others away from the end are as good
    assert "best, alone:\n  python scripts/train.py reg.lam=1.0" in out


def test_a_best_strength_at_the_end_asks_for_a_longer_range(capsys: pytest.CaptureFixture[str]):
    print_members(a_path({0.0: [0.5], 0.1: [0.8], 1.0: [0.9]}), "accuracy", {"command": "python"})
    assert "the best lam, 1, is at the end of its range: extend the range" in capsys.readouterr().out


def test_a_best_strength_of_0_is_not_the_end_of_a_range(capsys: pytest.CaptureFixture[str]):
    print_members(a_path({0.0: [0.9], 0.1: [0.8], 1.0: [0.3]}), "accuracy", {"command": "python"})
    assert "end of its range" not in capsys.readouterr().out


def test_the_table_has_one_row_per_strength(capsys: pytest.CaptureFixture[str]):
    outcomes = a_path({0.0: [0.5, 0.6], 0.1: [0.80, 0.82], 1.0: [0.3, 0.3]})
    print_members(outcomes, "accuracy", {"command": "python"})
    out = capsys.readouterr().out
    assert "means over 2 seeds" in out
    assert "0.8100 ± 0.0141" in out
    assert "best, its best seed of 2 alone" in out
    assert len([line for line in out.splitlines() if "±" in line]) == 3


def test_too_many_combinations_are_refused_before_they_are_built():
    path = {"lams": "log:1e-6:1:10000", "rates": None, "max_values": None, "seeds": "lin:0:9999:10000"}
    with pytest.raises(RunError, match="at most 10,000 members, received 10,000 path.lams × 10,000 path.seeds"):
        members_of(OmegaConf.create({"path": path}))


def test_the_simpler_rule_wins_ties():
    outcomes = [outcome(n, lam, 0, 0.8) for n, lam in enumerate((1.0, 0.1, 0.5))]
    best = best_setting(settings_of(outcomes, "accuracy"))
    assert best is not None
    assert best.label == "lam=0.1 seed=0"
