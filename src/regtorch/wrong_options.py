"""Wrong options of a command line, refused in one line."""

from __future__ import annotations

import re
from argparse import SUPPRESS, ArgumentParser
from collections.abc import Callable
from difflib import get_close_matches
from typing import NoReturn

__all__ = ["in_one_line"]

_UNKNOWN = re.compile(r"unrecognized arguments: (.*)")
_OF_ONE = re.compile(r"argument (\S+?)(?:/\S+)?: ")


def in_one_line(parser: ArgumentParser, fit: Callable[[str], str] = str) -> ArgumentParser:
    """The parser, changed to print errors without its usage, in one line or what `fit` makes of it; it exits with 2."""

    def error(message: str) -> NoReturn:
        unknown = _UNKNOWN.fullmatch(message)
        text = _OF_ONE.sub(r"\1: ", message) if unknown is None else _refusal(parser, unknown[1])
        parser.exit(2, fit(f"error: {text}") + "\n")

    parser.error = error
    return parser


def _refusal(parser: ArgumentParser, words: str) -> str:
    """The first unknown option, with the nearest known one."""
    word = next((word for word in words.split() if word.startswith("-")), words)
    if not word.startswith("-") and "=" in word:
        return f"{word}: put all settings side by side, before or after the options"
    if not word.startswith("-"):
        return f"expected no more arguments, received {word}"
    name, _, value = word.partition("=")
    known = [name for act in parser._actions if act.help != SUPPRESS for name in act.option_strings]
    close = get_close_matches(name, known, n=1)
    if close:
        return f"{name}: unknown option; did you mean {close[0]}?"
    if value and any(action.dest == "overrides" for action in parser._actions):
        return f"{name}: unknown option; settings are written without dashes: {word.lstrip('-')}"
    return f"{name}: unknown option; {parser.prog} --help shows what can be given"
