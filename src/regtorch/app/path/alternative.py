"""What trains the runs that a path cannot train side by side."""

from regtorch.app.record.command import command

__all__ = ["alternative"]


def alternative() -> str:
    """Advice for an error message: train the runs one by one."""
    return f"use {command('train', ['-m'])} for such runs"
