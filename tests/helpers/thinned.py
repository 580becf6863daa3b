"""Of many cases that prove one thing, some are always run; `make test-slow` runs the others.

`thinned` chooses them by what they are, the marker `sampled(count)` takes some that are spread over all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from _pytest.mark import ParameterSet

__all__ = ["pytest_collection_modifyitems", "thinned"]


def thinned(cases: Iterable[Any], fast: Callable[..., object]) -> list[ParameterSet]:
    """The cases as parameters, all slow but those of which `fast` is true: of a tuple's values, or of the one value."""
    rows = [case if isinstance(case, tuple) else (case,) for case in cases]
    return [pytest.param(*row, marks=[] if fast(*row) else pytest.mark.slow) for row in rows]


@pytest.hookimpl(tryfirst=True)  # before `-m` looks at the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the cases of a sampled test as slow, but for those taken."""
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("sampled") and not item.get_closest_marker("slow"):
            cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for together in cases.values():
        marker = together[0].get_closest_marker("sampled")
        assert marker is not None
        taken = {at * len(together) // marker.args[0] for at in range(marker.args[0])}
        for at, item in enumerate(together):
            if at not in taken:
                item.add_marker("slow")
