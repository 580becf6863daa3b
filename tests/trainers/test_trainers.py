"""Every trainer in every mode: the weights of way 1, or none by a reason; what is not installed is skipped."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import trainers_page
from trainers.cells import ROWS, installed, measured
from trainers.modes import MODES, limit, net, of_precision, reference
from trainers.processes import OF_TWO, measured_by_two
from way_one import apart

pytestmark = pytest.mark.filterwarnings("ignore")  # of other libraries, about themselves
OF_ONE = [name for name in MODES if name not in OF_TWO]


def check(cell: float | str, mode: str) -> None:
    if isinstance(cell, str):
        assert cell.startswith("none: ")
        assert len(cell) > 15
    else:
        assert cell < limit(MODES[mode])


@pytest.mark.slow
@pytest.mark.parametrize("mode", OF_ONE)
@pytest.mark.parametrize("trainer", ROWS)
def test_trains_as_way_1(trainer: str, mode: str):
    if not installed(trainer):
        pytest.skip(f"{ROWS[trainer].package} is not installed")
    check(measured(trainer, mode), mode)


@pytest.mark.slow
@pytest.mark.script
@pytest.mark.parametrize("trainer", ROWS)
def test_two_processes_train_as_one(trainer: str, tmp_path: Path):
    if not installed(trainer):
        pytest.skip(f"{ROWS[trainer].package} is not installed")
    for mode, cell in measured_by_two([trainer], tmp_path / "cells.json")[trainer].items():
        check(cell, mode)


@pytest.mark.parametrize("mode", ["plain", "accumulation", "clipping"])
def test_a_plain_loop_trains_as_way_1(mode: str):
    check(measured("plain loop", mode), mode)


@pytest.mark.parametrize("mode", ["plain", "clipping"])
def test_the_rules_move_the_weights(mode: str):
    """A trainer that lost them would be seen."""
    with of_precision(MODES[mode]):
        with_rules = reference(MODES[mode])
        torch.manual_seed(0)
        assert apart(net(), with_rules) > 1e-2


def test_the_page_is_that_of_the_figures():
    text = trainers_page.PAGE.read_text(encoding="utf-8")
    assert text == trainers_page.page(), "run: python tests/trainers_page.py"
