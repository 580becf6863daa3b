"""Numbers with their nouns."""

import pytest

from regtorch.counted import counted


@pytest.mark.parametrize(
    ("number", "several", "expected"),
    [(0, None, "0 runs"), (1, None, "1 run"), (2000, None, "2,000 runs"), (1, "rans", "1 run"), (3, "rans", "3 rans")],
)
def test_singular_and_plural(number: int, several: str | None, expected: str):
    assert counted(number, "run", several) == expected
