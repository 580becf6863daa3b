"""Words for numbers."""

__all__ = ["counted"]


def counted(number: int, what: str) -> str:
    """A number of things: "1 run", "2,000 runs"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
