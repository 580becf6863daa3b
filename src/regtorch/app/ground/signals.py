"""Turn Ctrl-C and a queue's signals into one exception that cannot get lost and never interrupts a critical section.

Python raises it between any two instructions. An exception in a destructor is dropped, so long-running code checks for
it again (`end_if_asked`). One between taking a lock and entering its block would leave the lock taken, so code that
locks and writes defers it (`shielded`). Code that can save its state defers it to where it does (`patient`).
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from regtorch.app.ground.lines import fitting_errors

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

__all__ = [
    "Ended",
    "asked_to_end",
    "before_a_queues_handler",
    "end_if_asked",
    "end_now",
    "exposed",
    "interruptible",
    "is_asked",
    "keep_handler",
    "patient",
    "shielded",
]

_ASKING = [known for known in signal.Signals if known.name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")]
_PATIENT = "{}: saving after the current step or validation; Ctrl-C ends at once"


class Ended(KeyboardInterrupt):
    """This process was asked to end; `code` is the exit code."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        known = signal.Signals(number)
        super().__init__("interrupted" if known == signal.SIGINT else f"ended by {known.name}")
        self.code = 128 + known


class _State:
    active = False  # handlers are in place
    asked: int | None = None
    shields = 0
    patient = False


def _once_is_enough(number: int, frame: Any) -> None:
    """Swallow repeated signals. Unlike SIG_IGN, a Python handler is not inherited by child processes."""


@contextmanager
def asked_to_end(signals: Iterable[signal.Signals] = _ASKING) -> Iterator[None]:
    """Raise `Ended` on these signals: SIGINT, SIGTERM, SIGHUP, SIGUSR1 and SIGUSR2. No effect in threads.

    All but SIGINT are ignored once one has arrived.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {known: signal.getsignal(known) for known in signals}
    taken = [known for known in before if before[known] != signal.SIG_IGN]  # nohup stays in effect

    def end(number: int, _: Any) -> None:
        first, _State.asked = _State.asked is None, number
        for known in taken:
            if known != signal.SIGINT:
                signal.signal(known, _once_is_enough)
        if _State.shields > 0:
            return
        if _State.patient and first:
            said = fitting_errors(_PATIENT.format(Ended(number)))
            os.write(2, f"{said}\n".encode())  # print() may be what the signal has interrupted
        else:
            raise Ended(number)

    _State.active, _State.asked, _State.shields, _State.patient = True, None, 0, False
    for known in taken:
        signal.signal(known, end)
    try:
        yield
    finally:
        for known in taken:
            signal.signal(known, before[known])
        _State.active, _State.asked = False, None


@contextmanager
def before_a_queues_handler() -> Iterator[None]:
    """In a job of a queue's launcher: answer SIGUSR1 and SIGUSR2 as `asked_to_end` does, then by its handler.

    The launcher's handler ends the process at once and has the job started again.
    """
    found = {known: signal.getsignal(known) for known in _ASKING if known.name.startswith("SIGUSR")}
    handlers = {known: handler for known, handler in found.items() if callable(handler)}
    if _State.active or not handlers:
        yield
        return
    try:
        with asked_to_end(handlers):
            yield
    except Ended as ended:
        number = ended.code - 128
        if (handler := handlers.get(signal.Signals(number))) is not None:
            handler(number, None)
        raise


def end_if_asked() -> None:
    """Raise `Ended` if it was deferred or got lost.

    Raises:
        Ended: this process was asked to end.
    """
    if _State.asked is not None and _State.shields <= 0 and not _State.patient:
        raise Ended(_State.asked)


def keep_handler(number: signal.Signals) -> None:
    """Take out Lightning's handler, which ends a training before it can be saved, and keep ours, which it wraps."""
    handlers = getattr(signal.getsignal(number), "signal_handlers", [])
    if handlers and threading.current_thread() is threading.main_thread():
        signal.signal(number, handlers[-1])


def is_asked() -> bool:
    """Whether this process was asked to end."""
    return _State.asked is not None


def end_now() -> NoReturn:
    """Raise the `Ended` that a `patient` block defers."""
    raise Ended(_State.asked or signal.SIGINT)


@contextmanager
def patient() -> Iterator[None]:
    """Defer the first `Ended` until the block asks for it (`is_asked`, `end_now`) or ends; Ctrl-C then raises it."""
    _State.patient = True
    try:
        yield
    finally:
        _State.patient = False
    end_if_asked()


@contextmanager
def shielded() -> Iterator[None]:
    """Defer `Ended` to the block's end."""
    _State.shields += 1
    try:
        yield
    finally:
        _State.shields -= 1
    end_if_asked()


@contextmanager
def exposed() -> Iterator[None]:
    """Allow interruption inside a shielded block."""
    shields, _State.shields = _State.shields, 0
    try:
        end_if_asked()
        yield
    finally:
        _State.shields = shields


@contextmanager
def interruptible(trainer: Trainer) -> Iterator[None]:
    """Turn Lightning's exit after a signal back into an exception.

    Raises:
        KeyboardInterrupt: the trainer was interrupted.
    """
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        end_if_asked()
        if trainer.interrupted and isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        raise
    finally:
        if handler is not None and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            signal.signal(signal.SIGINT, handler)
