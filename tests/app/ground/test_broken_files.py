"""Damaged files of every kind: each is refused in a sentence, or read as if it were intact."""

import pytest

from bounded import Ended, assert_bounded, outside
from broken_files import FRAMED, KINDS, OPEN, SEALED

COPIES = 13


@pytest.fixture(scope="module")
def ended() -> list[Ended]:
    return outside("broken_files", "cases")


@pytest.mark.slow
def test_two_hundred_damaged_files_within_bounds(ended: list[Ended]) -> None:
    assert len(ended) == (1 + COPIES) * len(KINDS)
    assert COPIES * len(KINDS) >= 200
    for one in ended:
        assert_bounded(one)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_refused_or_read_correctly(ended: list[Ended], kind: str) -> None:
    """A format without checksums cannot tell a flipped bit of its content from another content: see `notices`."""
    intact, *damaged = [one for one in ended if one.name.startswith(f"{kind}: ")]
    assert not intact.error, intact
    assert len(damaged) == COPIES
    undetected = [one for one in damaged if not one.error and one.read != intact.read]
    allowed = {
        SEALED: lambda one: False,
        FRAMED: lambda one: "cut" not in one.name,
        OPEN: lambda one: True,
    }[KINDS[kind].notices]
    assert [one for one in undetected if not allowed(one)] == []
    assert sum(bool(one.error) for one in damaged) >= 4
