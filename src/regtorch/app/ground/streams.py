"""Text that the terminal cannot show."""

import io
import sys

__all__ = ["print_anything"]


def print_anything() -> None:
    """Let stdout and stderr replace characters that they lack, such as λ, or bytes in names of folders."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
