"""The table of docs/rules.md, made from the rules themselves: `python tests/rules_page.py` writes it anew."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import regtorch as rt

PAGE = Path(__file__).parents[1] / "docs" / "rules.md"
_TABLE = re.compile(r"(?<=<!-- table -->\n).*(?=\n<!-- end -->)", re.DOTALL)


def rows() -> list[str]:
    """A row for every public rule."""
    kinds = {"penalty": rt.Penalty, "constraint": rt.Constraint}
    found = [
        _row(thing, word)
        for word, kind in kinds.items()
        for thing in map(rt.__dict__.get, rt.__all__)
        if inspect.isclass(thing) and issubclass(thing, kind) and thing is not kind
    ]
    return ["| rule | | formula | proximal step |", "|---|---|---|:-:|", *found]


def _row(kind: type, word: str) -> str:
    given = [p for p in inspect.signature(kind).parameters.values() if p.name != "select"]
    shown = ", ".join(p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in given)
    formula = (inspect.getdoc(kind) or "").partition("\n\n")[0].replace("\n", " ").replace("|", "\\|")
    prox = "yes" if issubclass(kind, rt.Penalty) and kind.prox is not rt.Penalty.prox else ""
    return f"| `rt.{kind.__name__}({shown})` | {word} | {formula} | {prox} |"


def written(text: str) -> str:
    """The page with its table as it is to be."""
    table = "\n".join(rows())
    return _TABLE.sub(lambda _: table, text)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
