"""Being asked to end, as an exception."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Ended", "asked_to_end"]

_ASKING = [known for known in signal.Signals if known.name in ("SIGTERM", "SIGHUP")]


class Ended(BaseException):
    """Somebody asked this process to end.

    Attributes:
        code: the exit code that says so.
    """

    def __init__(self, number: int = signal.SIGTERM) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.code = 128 + number


@contextmanager
def asked_to_end() -> Iterator[None]:
    """Make SIGTERM and SIGHUP an exception, so that trials can be handed back.

    Raises:
        Ended: one came.
    """
    before = {known: signal.getsignal(known) for known in _ASKING}
    taken = [known for known in _ASKING if before[known] != signal.SIG_IGN]  # nohup stays what it is

    def end(number: int, _: Any) -> None:
        for known in taken:
            signal.signal(known, signal.SIG_IGN)  # once is enough: a second one would disturb the ending
        raise Ended(number)

    for known in taken:
        signal.signal(known, end)
    try:
        yield
    finally:
        for known in taken:
            signal.signal(known, before[known])
