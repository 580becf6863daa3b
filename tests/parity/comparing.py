"""What a parity test is given."""

from __future__ import annotations

from typing import Any, Protocol

from hypothesis import HealthCheck, settings

# `compare` belongs to a test, not to an example: it only keeps records.
with_compare = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])


class Compare(Protocol):
    """Assert that ours equals theirs, and keep the difference for the table."""

    def __call__(self, ours: Any, theirs: Any, *, within: float) -> None: ...
