"""A number over seeds."""

import math

import pytest

from regtorch.spread import Spread, spread


def test_digits():
    assert [str(Spread(mean, 1.04, 3)) for mean in (0.95, 179.14)] == ["0.950 ± 1.040", "179.1 ± 1.0"]


def test_what_is_not_finite_is_counted_and_what_is_not_there_is_not():
    found = spread([1.0, None, math.nan, 3.0])
    assert found == Spread(2.0, pytest.approx(math.sqrt(2)), 2, 1)
    assert str(found) == "2.000 ± 1.414 (nan in 1 of 3)"
    assert spread([None, None]) is None
    assert str(spread([math.inf])) == "(nan in 1 of 1)"
    assert str(spread([0.5])) == "0.500"


def test_numbers_whose_sum_no_float_holds():
    found = spread([1.7e308, 1.7e308])
    assert found == Spread(pytest.approx(1.7e308), 0.0, 2)
    assert str(found) == "1.700e+308 ± 0.000e+00"
    assert str(spread([-3.4e38])) == "-3.400e+38"
