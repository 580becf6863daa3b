"""Every third-party optimizer that is installed, and wrappers of every shape: no check finds anything wrong."""

from __future__ import annotations

import pytest

from third_party.checks import row
from third_party.optimizers import torch_cases
from third_party.training import Case
from third_party_optimizers import cases

PLAIN = {f"torch: {case.name}" for case in torch_cases()}  # test_optimizers.py is about these
CASES = {name: case for name, case in cases() if name not in PLAIN}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_every_way_is_equal_or_a_sentence_says_why_not(case: Case):
    marks, wrong = row(case)
    assert not wrong
    assert set(marks.values()) - {"-"}
