"""What a parity test is given."""

from __future__ import annotations

from typing import Any, Protocol


class Compare(Protocol):
    """Assert that ours equals theirs, and keep the difference for the table."""

    def __call__(self, ours: Any, theirs: Any, *, within: float) -> None: ...
