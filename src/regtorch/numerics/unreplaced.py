"""While an optimizer's step asks its rules for their weights, one look at the network is enough."""

from __future__ import annotations

from threading import local

__all__ = ["NOTHING_REPLACED"]


class _NothingReplaced(local):
    """While a thread has entered it, that replaces no module or weight."""

    since: object | None = None

    def __enter__(self) -> None:
        self.since = object()

    def __exit__(self, *error: object) -> None:
        self.since = None

    def look_again(self) -> None:
        """Something was replaced all the same."""
        self.since = None if self.since is None else object()


NOTHING_REPLACED = _NothingReplaced()
