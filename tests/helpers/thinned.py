"""Of many cases that prove one thing, some are always run; `make test-slow` runs the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from _pytest.mark import ParameterSet

__all__ = ["thinned"]


def thinned(cases: Iterable[Any], fast: Callable[..., object]) -> list[ParameterSet]:
    """The cases as parameters, all slow but those of which `fast` is true: of a tuple's values, or of the one value."""
    rows = [case if isinstance(case, tuple) else (case,) for case in cases]
    return [pytest.param(*row, marks=[] if fast(*row) else pytest.mark.slow) for row in rows]
