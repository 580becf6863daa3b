"""Tensors with NaN or infinite values are found by their sums."""

import math

import pytest
import torch

from regtorch.numerics.finite import not_finite


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_every_bad_number_is_found(dtype: torch.dtype, bad: float):
    wrong = torch.ones(1000, dtype=dtype)
    wrong[731] = bad
    assert not_finite({"a": torch.ones(3, dtype=dtype), "b": wrong, "c": torch.ones(())}) == ["b"]


def test_infinities_that_cancel_are_found():
    assert not_finite({"a": torch.tensor([math.inf, -math.inf])}) == ["a"]
    assert not_finite({"a": torch.tensor(math.inf), "b": torch.tensor(-math.inf)}) == ["a", "b"]


def test_sums_that_overflow_are_finite_numbers():
    assert not_finite({"a": torch.full((9,), 3e38), "b": torch.full((9,), 6e4, dtype=torch.float16)}) == []
    assert not_finite({}) == []
