"""Which calls are still running; hooks do not run after a call that raised."""

from __future__ import annotations

import sys
from types import FrameType

import torch

__all__ = ["Outermost", "is_running"]


def is_running(call: FrameType | None) -> bool:
    """Whether the call of a frame is still running."""
    frame = sys._getframe(1)
    while frame is not None and frame is not call:
        frame = frame.f_back
    return frame is call


class Outermost:
    """Finds the outermost of nested calls: a `step` that calls `super().step()` runs the hooks of both calls."""

    def __init__(self) -> None:
        self._call: FrameType | None = None

    def __getstate__(self) -> dict[str, None]:
        return {"_call": None}

    def begin(self) -> bool:
        """Called by a pre-hook: whether its call is the outermost one."""
        if torch.compiler.is_compiling():
            return True
        if self._call is not None and is_running(self._call):
            return False
        self._call = sys._getframe(2)
        return True

    def end(self) -> bool:
        """Called by a post-hook: whether its call is the outermost one."""
        if torch.compiler.is_compiling():
            return True
        if self._call is not None and self._call is not sys._getframe(2):
            return False
        self._call = None
        return True
