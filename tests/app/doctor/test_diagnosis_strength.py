"""The strength finder against trainings below and above the strengths that it finds."""

from __future__ import annotations

from math import inf, log10

import pytest

from places import CONF
from regtorch.app.doctor import strength
from regtorch.app.doctor.budget import Budget
from regtorch.app.doctor.short_run import Trainings
from regtorch.app.doctor.strength import COLLAPSED, KEPT, find_strength
from regtorch.app.ground.errors import RunError

DIGITS = ["model=mnist_mlp", "data=digits", "trainer=cpu"]
FACTOR = 3.0  # within which what is found has to be right


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan is none that a machine's load changes."""
    monkeypatch.setattr(strength, "plan_budget", lambda *_, **__: Budget(steps=80, seeds=1, seed=0, seconds_a_run=1.0))


@pytest.mark.slow
@pytest.mark.parametrize("reg", ["l2", "l1"])
def test_trainings_on_both_sides_of_what_it_finds(reg: str):
    overrides = [*DIGITS, f"reg={reg}"]
    found = find_strength(overrides, CONF, seconds=1000.0)
    assert found.low <= found.high < found.collapses < inf
    trainings = Trainings(CONF, overrides)
    sides = [value * factor for value in (found.high, found.collapses) for factor in (1 / FACTOR, FACTOR)]
    steps = int(found.numbers["steps"])
    zero, *runs = (trainings.run("", [f"reg.lam={lam}"], steps=steps) for lam in (0, *sides))
    learnt = [
        min(
            (zero.constant.loss - run.held.loss) / (zero.constant.loss - zero.held.loss),
            (run.held.score - zero.constant.score) / (zero.held.score - zero.constant.score),
        )
        for run in runs
    ]
    assert learnt[0] > KEPT > learnt[1]
    assert learnt[2] > COLLAPSED > learnt[3]
    assert len(found.tried) <= 14
    labels = [float(outcome.label.removeprefix("λ = ")) for outcome in found.tried]
    assert labels == sorted(labels)
    assert abs(log10(found.numbers["equal_gradients"])) < 6


def test_a_set_up_without_a_penalty_is_refused():
    with pytest.raises(RunError, match=r"reg=none has no penalty; choose reg=l2"):
        find_strength(DIGITS, CONF, seconds=1000.0)


def test_a_net_that_learns_nothing_anyway_has_no_strength():
    with pytest.raises(RunError, match="learns nothing"):
        find_strength([*DIGITS, "reg=l2", "optimizer.lr=1e-9"], CONF, seconds=1000.0)
