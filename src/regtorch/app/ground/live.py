"""Where a line may be drawn again."""

from __future__ import annotations

import os
from typing import IO

__all__ = ["is_live"]

_OF_KERNELS = "JPY_PARENT_PID"
"""Jupyter sets it for its kernels, and so for the commands that a cell starts."""


def is_live(stream: IO[str]) -> bool:
    """Whether a stream is a terminal on which the cursor can go up; a notebook's `!command` has one that cannot."""
    return stream.isatty() and _OF_KERNELS not in os.environ
