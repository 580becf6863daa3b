"""`python -m regtorch.conventions 0.01 keras --batch 32`: one strength in every convention."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Sequence
from shutil import get_terminal_size
from textwrap import TextWrapper
from typing import Any

from regtorch.conventions.convention import CONVENTIONS, Name
from regtorch.conventions.conversion import convert
from regtorch.wrong_options import in_one_line

__all__ = ["main", "table"]

Strength = float | tuple[float, ...]


def _strength(text: str) -> Strength:
    try:
        return tuple(float(part) for part in text.split(",")) if "," in text else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, or a pair such as 0.1,0.5, received {text!r}") from None


def _parser(called: str, fit: Callable[[str], str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=called,
        description="Show a penalty's strength in every convention, for a task loss that is a mean over samples.",
        epilog=f"conventions: {', '.join(CONVENTIONS)}. Example: {called} 0.01 keras --batch 32",
    )
    pair = "a number, or a pair such as 0.1,0.5 (l1,l2 or alpha,l1_ratio)"
    parser.add_argument("strength", type=_strength, help=pair)
    parser.add_argument("source", nargs="?", default="keras", help="its convention (default: keras)")
    parser.add_argument("--batch", type=int, help="samples in a batch")
    parser.add_argument("--samples", type=int, help="samples in the training set")
    parser.add_argument("--lr", type=float, help="the learning rate")
    parser.add_argument("--clipping", action="store_true", help="gradients are clipped")
    return in_one_line(parser, fit)


def table(strength: Strength, source: Name, *, width: int | None = None, **options: Any) -> str:
    """A row per convention: its formula, and the equivalent strength or why there is none; raises as `convert`.

    Formulas and reasons break between words where lines are longer than `width`.
    """
    convert(strength, source, source, **options)  # a wrong source or strength is an error, not a row
    rows = [("convention", "strength", "added to the mean loss")]
    reasons: dict[str, list[str]] = {}
    for name, convention in CONVENTIONS.items():
        try:
            there = convert(strength, source, name, **options)
        except (TypeError, ValueError) as error:
            reasons.setdefault(str(error).removeprefix("convert: ").split(";")[0], []).append(name)
            rows.append((name, "-", convention.formula))
        else:
            numbers = there if isinstance(there, tuple) else (there,)
            rows.append((name, ", ".join(f"{number:.6g}" for number in numbers), convention.formula))
    first, second = (max(len(row[i]) for row in rows) for i in (0, 1))
    lines = [f"{name:{first}}  {there:{second}}  {formula}" for name, there, formula in rows]
    reasons_said = [f"- {', '.join(names)}: {reason}" for reason, names in reasons.items()]
    if width is None:
        return "\n".join([*lines, *reasons_said])
    hang = first + second + 4
    kept = [part for line in lines for part in _wrapped(line, width, hang if hang < 3 * width // 4 else first + 2)]
    return "\n".join([*kept, *(part for line in reasons_said for part in _wrapped(line, width, 2))])


def _wrapped(line: str, width: int, hang: int) -> list[str]:
    indent = " " * hang
    return TextWrapper(width=width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False).wrap(line)


def main(
    arguments: Sequence[str] | None = None,
    called: str = "python -m regtorch.conventions",
    fit: Callable[[str], str] = str,
) -> int:
    """Print the table, as wide as the terminal; a wrong command line exits with 2.

    Args:
        arguments: of the command line; by default this process's.
        called: the command that the usage names.
        fit: makes errors fit the terminal.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # for terminals without Σ
    parser = _parser(called, fit)
    given = vars(parser.parse_args(arguments))
    try:
        print(table(**given, width=max(get_terminal_size().columns, 60) if sys.stdout.isatty() else None))
    except (TypeError, ValueError) as error:
        parser.error(str(error).removeprefix("convert: "))
    return 0


if __name__ == "__main__":
    sys.exit(main())
