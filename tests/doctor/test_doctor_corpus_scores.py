"""The corpus in `tests/programs`: how many faults are named first, and how many healthy programs are suspected."""

from __future__ import annotations

import pytest
import torch

from programs.advice import is_mechanical, trained
from programs.data import is_here
from programs.faulty import FAULTY
from programs.healthy import HEALTHY
from programs.score import look_at, looks, report
from programs.training import score
from regtorch.doctor.causes import CAUSES
from regtorch.doctor.remedy import NoNumber, Remedy
from thinned import thinned

SOME = 5  # every fifth program, in all but the slow test
MISSED = {"digits cnn, SGD at 5", "mnist cnn, shuffled labels"}  # which the scores count
FAULTS = [name for name in FAULTY if is_here(FAULTY[name][0].needs) and name not in MISSED]
HEALTH = [name for name in HEALTHY if is_here(HEALTHY[name].needs)]


def test_there_are_enough_and_their_labels_are_causes():
    assert len(FAULTY) >= 100
    assert len(HEALTHY) >= 60
    assert {cause for _, causes in FAULTY.values() for cause in causes} <= set(CAUSES)


@pytest.mark.sampled(15)
@pytest.mark.filterwarnings("ignore::UserWarning")  # of a broadcasting loss
@pytest.mark.parametrize("name", thinned(FAULTS[::SOME], lambda name: name != "digits, thirty ReLUs"))  # takes seconds
def test_a_fault_is_named(name: str):
    program, causes = FAULTY[name]
    assert look_at(name, program, causes).is_named


@pytest.mark.sampled(8)
@pytest.mark.parametrize("name", HEALTH[2::SOME])
def test_a_healthy_program_is_not_called_ill(name: str):
    assert not look_at(name, HEALTHY[name]).has("severe")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("seed", [0, 1])
def test_the_scores_of_the_whole_corpus(seed: int):
    ill, well = looks(seed, timed=False)
    table = report(ill, well)
    assert sum(look.is_first for look in ill) >= 0.8 * len(ill), table
    assert sum(look.is_named for look in ill) >= 0.9 * len(ill), table
    assert sum(look.has("severe") for look in well) <= len(well) / 60, table
    assert sum(look.has("warning") for look in well) <= len(well) / 10, table


# The trial of advice


def test_scores_are_what_an_author_wants():
    rows = torch.eye(3)[torch.tensor([0, 1, 2, 0])]
    assert score(rows, torch.tensor([0, 1, 2, 1])) == 0.75
    assert score(rows, rows) == 1
    yes = torch.tensor([[0.0], [1.0], [1.0]])
    assert score(torch.tensor([[-3.0], [5.0], [-4.0]]), yes) == 0.5
    assert score(torch.zeros(3, 1), yes) == 0.5
    assert score(2 * yes + 1, torch.tensor([[0.5], [3.0], [3.0]])) == pytest.approx(1)


def test_what_a_program_can_apply():
    assert is_mechanical(Remedy("rate", value=0.1))
    assert not is_mechanical(Remedy("rate", value=NoNumber("none learns")))
    assert not is_mechanical(Remedy("rate", value=0.1, also=Remedy("split")))
    assert not is_mechanical(Remedy("strength", factor=0.1))
    assert not is_mechanical(None)


def test_a_rate_that_is_right_learns_more():
    program = FAULTY["wines, SGD at 1e-5"][0]
    as_is, changed = (trained(program, remedy, 0) for remedy in (None, Remedy("rate", value=0.05)))
    assert changed[0] > as_is[0] + 0.1
    assert changed[1] < as_is[1]
