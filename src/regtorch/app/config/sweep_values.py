"""The values of a sweep on the command line, checked before anything counts them."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep

from regtorch.app.ground.errors import RunError
from regtorch.app.record.command import command

__all__ = ["MOST_JOBS", "check_sweep"]

MOST_JOBS = 10_000
"""Jobs of a sweep: as many as a search has trials."""


def check_sweep(overrides: Sequence[Override]) -> None:
    """Refuse values that no grid can run: intervals, steps of 0, too many jobs.

    Raises:
        RunError: such values are given.
    """
    if any(override.key_or_group == "hydra/sweeper" for override in overrides):
        return  # another sweeper has its own rules
    jobs = 1
    for override in overrides:
        jobs *= _count(override)
        if jobs > MOST_JOBS:
            raise RunError(f"{override.input_line}: a sweep has at most {MOST_JOBS:,} jobs, received {jobs:,}")


def _count(override: Override) -> int:
    """The number of values of a setting."""
    given, key = override.input_line, override.get_key_element()
    values: Any = override.value()
    if isinstance(values, IntervalSweep):
        raise RunError(
            f"{given}: a sweep runs values one by one, and an interval has no end of them; list some, such as "
            f"{key}={values.start},{values.end}, or let `{command('search')}` choose"
        )
    if isinstance(values, RangeSweep):
        start, stop, step = (float(value) for value in (values.start or 0, values.stop or 0, values.step))
        if step == 0:
            raise RunError(f"{given}: expected a step other than 0")
        count = max(0.0, (stop - start) / step)
        if count > MOST_JOBS:
            raise RunError(f"{given}: a sweep has at most {MOST_JOBS:,} jobs, received {count:,.0f}")
        return ceil(count)
    return len(values.list) if isinstance(values, ChoiceSweep) else 1
