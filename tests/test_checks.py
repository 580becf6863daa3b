"""Checks of arguments: what passes, and messages of one form."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from regtorch import checks


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (
            lambda: checks.number("F", "a", "1"),
            "F: a must be a finite number, received '1' of type str; give a plain n",
        ),
        (
            lambda: checks.number("F", "a", True),
            "F: a must be a finite number, received True of type bool; give a plain",
        ),
        (lambda: checks.integer("F", "a", 1.0), "F: a must be a whole number of at least 1, received 1.0"),
        (lambda: checks.integer("F", "a", True), "F: a must be a whole number of at least 1, received True"),
        (lambda: checks.flag("F", "a", 1), "F: a must be True or False, received 1"),
        (
            lambda: checks.sizes("F", "a", [1, 0], ("h", "w")),
            r"F: a must be \(h, w\), whole numbers of at least 1, rec",
        ),
        (lambda: checks.sizes("F", "a", "12", ("h", "w")), r"F: a must be \(h, w\), whole numbers of at least 1, rec"),
    ],
)
def test_another_kind_is_a_type_error_and_a_value_error(check: Callable[[], Any], message: str):
    with pytest.raises(TypeError, match=f"^{message}"):
        check()
    with pytest.raises(ValueError, match=f"^{message}"):
        check()


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda: checks.number("", "a", math.nan), "a must be a finite number, received nan$"),
        (lambda: checks.number("F", "a", 10**400, low=0), "F: a must be a finite number of at least 0, received 1000"),
        (
            lambda: checks.number("F", "a", 1, "less", low=0, high=1, below=True),
            "a number of at least 0 and below 1, .*; less",
        ),
        (lambda: checks.number("F", "a", 0, low=0, high=1, above=True), "a number above 0 and at most 1, received 0$"),
        (lambda: checks.number("F", "a", 2, low=0, high=1), "a number from 0 to 1, received 2$"),
        (lambda: checks.nonnegative("F", "a", -1), "a finite number of at least 0, received -1; 0 switches it off$"),
        (lambda: checks.share("F", "a", 0), "a number above 0 and below 1, received 0$"),
        (lambda: checks.share("F", "a", 1, zero=True), "a number of at least 0 and below 1, received 1$"),
        (lambda: checks.integer("F", "a", 8, high=7), "a whole number from 1 to 7, received 8$"),
        (lambda: checks.one_of("F", "a", True, (1, 2)), "F: a must be 1 or 2, received True$"),
        (lambda: checks.one_of("F", "a", "x", ("x y",), "take it"), "F: a must be 'x y', received 'x'; take it$"),
    ],
)
def test_a_wrong_value_is_a_value_error_alone(check: Callable[[], Any], message: str):
    with pytest.raises(ValueError, match=message) as error:
        check()
    assert not isinstance(error.value, TypeError)


def test_what_fits_comes_back_as_a_plain_number():
    assert checks.number("F", "a", torch.tensor(0.5), low=0, high=1, above=True, below=True) == 0.5
    assert checks.share("F", "a", 0, zero=True) == 0
    assert type(checks.integer("F", "a", 3, low=3, high=3)) is int
    assert checks.sizes("F", "a", [2, 3], ("h", "w")) == (2, 3)
    assert checks.one_of("F", "a", None, ("x", None)) is None
    assert checks.flag("F", "a", False) is False
