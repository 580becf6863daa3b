"""`python -m regtorch.conventions 0.01 keras --batch 32`: one strength in every convention."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
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


def _parser(called: str) -> argparse.ArgumentParser:
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
    return in_one_line(parser)


def table(strength: Strength, source: Name, **options: Any) -> str:
    """A row per convention: its formula, and the equivalent strength or why there is none; raises as `convert`."""
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
    return "\n".join([*lines, *(f"- {', '.join(names)}: {reason}" for reason, names in reasons.items())])


def main(arguments: Sequence[str] | None = None, called: str = "python -m regtorch.conventions") -> int:
    """Print the table; a wrong command line exits with 2. `called` is the command that the usage names."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # for terminals without Σ
    parser = _parser(called)
    given = vars(parser.parse_args(arguments))
    try:
        print(table(**given))
    except (TypeError, ValueError) as error:
        parser.error(str(error).removeprefix("convert: "))
    return 0


if __name__ == "__main__":
    sys.exit(main())
