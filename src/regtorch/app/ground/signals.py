"""Being asked to end, by Ctrl-C or a signal: an exception that is not lost, and does not come in the middle of a whole.

Python raises it between any two instructions. In a destructor it goes no further, so that what works for long asks for
it again (`end_if_asked`); after a lock was taken and before it is known, it would leave the lock locked, so that what
locks and writes puts it off (`shielded`).
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

__all__ = ["Ended", "asked_to_end", "end_if_asked", "exposed", "interruptible", "shielded"]

_ASKING = [known for known in signal.Signals if known.name in ("SIGINT", "SIGTERM", "SIGHUP")]


class Ended(KeyboardInterrupt):
    """Somebody asked this process to end."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        known = signal.Signals(number)
        super().__init__("interrupted" if known == signal.SIGINT else f"ended by {known.name}")
        self.code = 128 + known


class _State:
    asked: int | None = None
    shields = 0


def _once_is_enough(number: int, frame: Any) -> None:
    """Ignore a signal, unlike SIG_IGN in this process alone: what it starts would inherit that."""


@contextmanager
def asked_to_end() -> Iterator[None]:
    """Make SIGINT, SIGTERM and SIGHUP an exception; in a thread, which gets no signals, this does nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {known: signal.getsignal(known) for known in _ASKING}
    taken = [known for known in _ASKING if before[known] != signal.SIG_IGN]  # nohup stays what it is

    def end(number: int, _: Any) -> None:
        _State.asked = number
        for known in taken:
            if known != signal.SIGINT:
                signal.signal(known, _once_is_enough)
        if _State.shields <= 0:
            raise Ended(number)

    _State.asked, _State.shields = None, 0
    for known in taken:
        signal.signal(known, end)
    try:
        yield
    finally:
        for known in taken:
            signal.signal(known, before[known])
        _State.asked = None


def end_if_asked() -> None:
    """Raise what was asked for, where it was put off or got lost.

    Raises:
        Ended: this process was asked to end.
    """
    if _State.asked is not None and _State.shields <= 0:
        raise Ended(_State.asked)


@contextmanager
def shielded() -> Iterator[None]:
    """Put being asked to end off until the block is done."""
    _State.shields += 1
    try:
        yield
    finally:
        _State.shields -= 1
    end_if_asked()


@contextmanager
def exposed() -> Iterator[None]:
    """Let being asked to end come at any moment of a block that stands in a shielded one."""
    shields, _State.shields = _State.shields, 0
    try:
        end_if_asked()
        yield
    finally:
        _State.shields = shields


@contextmanager
def interruptible(trainer: Trainer) -> Iterator[None]:
    """Make being asked to end an exception again, of which Lightning makes an exit.

    Raises:
        KeyboardInterrupt: the trainer's run was ended so.
    """
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        end_if_asked()
        if trainer.interrupted:
            raise KeyboardInterrupt from error
        raise
    finally:
        if handler is not None and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            signal.signal(signal.SIGINT, handler)
