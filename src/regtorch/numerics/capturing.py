"""What a CUDA graph cannot repeat: Python, and control flow that depends on values."""

from __future__ import annotations

import torch

__all__ = ["capturing", "check_not_captured"]


def capturing() -> bool:
    """Whether a CUDA graph captures what happens now."""
    return torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing()


def check_not_captured(what: str, instead: str) -> None:
    """Raise a RuntimeError if a CUDA graph captures `what`, which it would repeat as it is now, or cannot."""
    if capturing():
        raise RuntimeError(f"a CUDA graph cannot capture {what}; {instead}")
