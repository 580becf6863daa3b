"""Whether a net draws from the random numbers of Python or NumPy."""

from __future__ import annotations

import random
import sys

from regtorch.doctor.observe.subject import Subject

__all__ = ["draws_elsewhere"]


def draws_elsewhere(subject: Subject) -> bool:
    """Whether a training batch draws from Python's or NumPy's random numbers, or cannot be computed."""
    with subject.forward_only():
        before = _states()
        try:
            subject.model.train()
            subject.task_loss(subject.output(0), subject.batch(0)[1])
        except Exception:
            return True
        return _states() != before


def _states() -> tuple[object, ...]:
    states: tuple[object, ...] = (random.getstate(),)
    if "numpy" in sys.modules:
        name, key, *rest = sys.modules["numpy"].random.get_state()
        states += name, key.tobytes(), *rest
    return states
