"""Counts in words."""

__all__ = ["counted"]


def counted(number: int, what: str, several: str | None = None) -> str:
    """A number of things, such as "1 run" or "2,000 runs"; `several` is a plural that does not end in -s."""
    return f"{number:,} {what if number == 1 else several or f'{what}s'}"
