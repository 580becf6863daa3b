"""Text that the terminal cannot show."""

import io
import sys

__all__ = ["print_anything", "printed"]


def print_anything() -> None:
    """Let stdout and stderr replace characters that they lack, such as λ, or bytes in names of folders."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def printed(text: str) -> str:
    """A text in which signs that would steer the terminal, such as those in a folder's name, stand as their codes."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)
