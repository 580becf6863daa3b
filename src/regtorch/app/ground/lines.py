"""Lines that fit the terminal: words stay whole, and commands can be copied."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from textwrap import TextWrapper
from typing import IO, Any, TextIO

from regtorch.app.ground.live import is_live

__all__ = ["broken", "fitted", "fitting", "fitting_errors", "tell", "told"]

_LEAST = 30  # columns; a narrower terminal breaks lines itself
_HANG = 4
_COMMAND = re.compile(r"\s*(python|regtorch) ")
_BEFORE_COMMAND = re.compile(r"(?<=:) (?=(?:python|regtorch) )")
_WORDS = re.compile(r"#.*|(?:'[^']*'|\"[^\"]*\"|[^\s'\"])+")
_USAGE_INDENT = "usage: "
_USAGE = re.compile(rf"(?:{_USAGE_INDENT}|{' ' * len(_USAGE_INDENT)})(?:python|regtorch) .*\[")  # or of its next form
_ABOUT = re.compile(r"( +\S+(?: \S+)* {2,})\S")  # a name, blanks, and what is said of it
_MORE = re.compile(r"\n {20,}(?=\S)")  # the next line of what is said


def tell(text: str, stream: TextIO | None = None) -> None:
    """Print a text; on a terminal in lines that fit it, elsewhere as it is."""
    to: Any = sys.stdout if stream is None else stream
    print(fitting(text, to), file=to, flush=True)


@contextmanager
def told() -> Iterator[None]:
    """Print what is printed within as `tell` does, when all of it is known."""
    text = StringIO()
    try:
        with redirect_stdout(text):
            yield
    finally:
        if text.getvalue():
            tell(text.getvalue().rstrip("\n"))


def fitting(text: str, stream: IO[str]) -> str:
    """The text as `tell` prints it to a stream."""
    return fitted(text, shutil.get_terminal_size().columns) if is_live(stream) else text


def fitting_errors(text: str) -> str:
    """The text as `tell` prints it to stderr."""
    return fitting(text, sys.stderr)


def fitted(text: str, width: int) -> str:
    r"""Break lines that are longer than `width` between words, and indent what follows.

    A command, which `python` or `regtorch` begins, gets a line of its own and is broken with backslashes. What is said
    of a name, with two blanks or more between them, hangs beside it. A usage, whose brackets nobody copies, has no
    backslashes. Longer words stay whole.

    Example:
        >>> print(fitted("epoch 1/20  |  train: accuracy 0.8594", 30))
        epoch 1/20  |  train: accuracy
            0.8594
        >>> print(fitted("note: resume with: python -m regtorch train resume=true", 30))
        note: resume with:
          python -m regtorch train \
              resume=true
    """
    width = max(width, _LEAST)
    lines = text.split("\n")
    if all(len(line) <= width for line in lines):
        return text
    lines = _MORE.sub(" ", text).split("\n")
    return "\n".join(part for line in lines for part in _parts(line, width))


def _parts(line: str, width: int) -> Iterable[str]:
    if len(line) <= width:
        return [line]
    if _USAGE.match(line):
        return _wrapped(line, width, len(_USAGE_INDENT) + _HANG)
    if _COMMAND.match(line):
        return broken(line, width)
    said, *commands = _BEFORE_COMMAND.split(line)
    if commands:
        return [part for text in (said, *(f"  {command}" for command in commands)) for part in _parts(text, width)]
    name = _ABOUT.match(line)
    indent = len(line) - len(line.lstrip())
    hang = len(name[1]) if name is not None and len(name[1]) <= 3 * width // 5 else indent + _HANG
    return _wrapped(line, width, hang)


def _wrapped(line: str, width: int, hang: int) -> list[str]:
    indent = " " * hang
    return TextWrapper(width=width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False).wrap(line)


def broken(line: str, width: int) -> list[str]:
    """The lines of a command that is broken with backslashes where it is longer than `width`."""
    indent = len(line) - len(line.lstrip())
    first, *words = _WORDS.findall(line)
    parts = [" " * indent + first]
    for word in words:
        if len(parts[-1]) + len(word) + len("  \\") > width:
            parts[-1] += " \\"
            parts.append(" " * (indent + _HANG) + word)
        else:
            parts[-1] += f" {word}"
    return parts
