"""Every third-party optimizer that is installed, and wrappers of every shape: no check finds anything wrong."""

from __future__ import annotations

import pytest

from thinned import thinned
from third_party.checks import row
from third_party.optimizers import torch_cases
from third_party_optimizers import cases

PLAIN = {f"torch: {case.name}" for case in torch_cases()}  # test_optimizers.py is about these
CASES = {name: case for name, case in cases() if name not in PLAIN}


def is_fast(name: str) -> bool:
    """A name under which an optimizer is held is known from its holder; of look-aheads, those of two names are run."""
    return "look-ahead with" not in name or name.endswith((".optimizer", ".wrapped"))


@pytest.mark.sampled(12)
@pytest.mark.parametrize("name", thinned(CASES, is_fast))
def test_every_way_is_equal_or_a_sentence_says_why_not(name: str):
    marks, wrong = row(CASES[name])
    assert not wrong
    assert set(marks.values()) - {"-"}
