"""A training that dies as by SIGKILL, in the tests' own process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lightning import Trainer
from regtorch.app.run.saves.saver import Saver

__all__ = ["Killed", "killed_after"]


class Killed(BaseException):
    """Ends a process at once, as SIGKILL does."""


@contextmanager
def killed_after(*steps: int, after: int = 0) -> Iterator[None]:
    """Save at the first rest after so many steps, and die at the last of them, or at the first rest `after` as many."""
    left = list(steps)

    def at_rest(self: Saver, trainer: Trainer, *, within: bool = False) -> None:
        if left and trainer.global_step >= left[0]:
            self.save(trainer, within=within)
            left.pop(0)
        if not left and trainer.global_step >= after:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Saver, "_at_rest", at_rest)
        with pytest.raises(Killed):
            yield
