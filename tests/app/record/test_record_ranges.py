"""Ranges and lists of numbers as a command line spells them."""

from itertools import pairwise

import pytest

from regtorch.app.ground.errors import RunError
from regtorch.app.record.ranges import Range, numbers, whole_numbers


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("log:0.01:1:3", [0.01, 0.1, 1.0]),
        ("log:1:0.01:3", [1.0, 0.1, 0.01]),
        ("lin:0:0.5:3", [0.0, 0.25, 0.5]),
        ([0, 1e-4, "1e-3"], [0.0, 1e-4, 1e-3]),
        ([0, "log:0.1:1:2"], [0.0, 0.1, 1.0]),
        (0.5, [0.5]),
    ],
)
def test_lists_and_ranges_are_read(given: object, expected: list[float]):
    assert numbers("path.lams", given) == expected


def test_a_log_range_has_its_ends_and_equal_ratios():
    values = numbers("path.lams", "log:1e-6:1:32")
    assert (values[0], values[-1], len(values)) == (1e-6, 1.0, 32)
    ratios = [b / a for a, b in pairwise(values)]
    assert max(ratios) / min(ratios) < 1.0001


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "an empty list"),
        ([1e-3, 0.001], "0.001 more than once"),
        ("log:1:1:3", "1 more than once"),
        ([-1], "received -1.0"),
        ([float("nan")], "received nan"),
        ([float("inf")], "received inf"),
        ("log:0:1:3", "[0,log:1e-6:1:3]"),
        ("log:-1:1:3", "ends above 0"),
        ("log:1e-6:1", "FIRST:LAST:COUNT"),
        ("log:1e-6:1:x", "FIRST:LAST:COUNT"),
        ("lin:0:1:1", "a count from 2"),
        ("lin:0:inf:3", "finite ends"),
        ("strong", "received 'strong'"),
        ([True], "expected a list"),
        ([[1]], "expected a list"),
    ],
)
def test_what_is_no_list_of_strengths_is_refused(given: object, said: str):
    with pytest.raises(RunError, match="path.lams") as error:
        numbers("path.lams", given)
    assert said in str(error.value)
    assert len(str(error.value)) < 200


def test_bounds_and_whole_numbers():
    with pytest.raises(RunError, match="numbers from 0 to 1"):
        numbers("path.rates", [0.5, 1.5], most=1.0)
    assert whole_numbers("path.seeds", "lin:0:4:5", most=9) == [0, 1, 2, 3, 4]
    with pytest.raises(RunError, match=r"whole numbers .* 0.5"):
        whole_numbers("path.seeds", [0, 0.5], most=9)


@pytest.mark.parametrize(
    ("text", "words", "log", "count"),
    [
        ("log:1e-6:1", "from 1e-6 to 1 by its logarithm", True, None),
        ("lin:0:0.8", "from 0 to 0.8", False, None),
        ("lin:0:0.8:5", "from 0 to 0.8", False, 5),
    ],
)
def test_a_range_in_words(text: str, words: str, log: bool, count: int | None):
    found = Range.read(text)
    assert found is not None
    assert (str(found), found.log, found.count) == (words, log, count)


@pytest.mark.parametrize(
    "text", ["", "log", "log:1", "log:1:2:3:4", "log:a:b", "frac:0.1:1:3", "1:2", 5, None, ["log:1:2"]]
)
def test_what_is_not_a_range(text: object):
    assert Range.read(text) is None
