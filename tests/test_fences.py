"""The range that an axis shows: values far away from all others do not squeeze it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regtorch.plot.fences import fence

NEAR = [0.90, 0.91, 0.92, 0.93, 0.94, 0.95]


@pytest.mark.parametrize(
    ("values", "log", "found"),
    [
        ([*NEAR, 1e6], False, (0.90, 0.95)),
        ([-1e6, *NEAR, math.nan, math.inf, 1e6], False, (0.90, 0.95)),
        ([*NEAR, 0.5], False, None),  # they still fill a tenth
        (NEAR, False, None),
        ([0.9] * 9 + [1e9], False, (0.9, 0.9)),  # the quartiles are equal
        ([0.0] * 9 + [0.3], False, None),  # nothing says how far 0.3 is
        ([1.0, 2.0, 3.0, 1e9], False, None),  # too few
        ([1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0], True, None),  # a sweep over decades
        ([1.0, 1.1, 1.2, 1.3, 1.4, 1e30, 0.0, -1.0], True, (1.0, 1.4)),
        ([], False, None),
    ],
)
def test_the_fence(values: list[float], log: bool, found: tuple[float, float] | None):
    assert fence(values, log=log) == found


@given(st.lists(st.floats(), max_size=30), st.booleans())
def test_it_always_holds_the_most(values: list[float], log: bool):
    found = fence(values, log=log)
    if found is not None:
        finite = [value for value in values if math.isfinite(value) and (value > 0 or not log)]
        within = [value for value in finite if found[0] <= value <= found[1]]
        assert 2 * len(within) >= len(finite)
        assert {min(within), max(within)} == set(found)
        assert len(within) < len(finite)
