"""Counts in words."""

__all__ = ["counted"]


def counted(number: int, what: str) -> str:
    """A number of things, such as "1 run" or "2,000 runs"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
