"""Files that were made to harm: each is refused in a sentence, and nothing in it runs or is allocated."""

import pytest

from bounded import Ended, assert_bounded, outside
from hostile_files import CASES


@pytest.fixture(scope="module")
def ended() -> dict[str, Ended]:
    return {one.name: one for one in outside("hostile_files", "cases")}


@pytest.mark.slow
def test_fifty_hostile_files_within_bounds(ended: dict[str, Ended]) -> None:
    assert ended.keys() == CASES.keys()
    assert len(CASES) >= 50


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_hostile_file_is_refused(ended: dict[str, Ended], name: str) -> None:
    assert_bounded(ended[name])
    assert ended[name].error, ended[name]
    assert CASES[name][0] in ended[name].message
