"""The table of docs/rules.md, made from the rules themselves: `python tests/rules_page.py` writes it anew."""

from __future__ import annotations

import inspect
import re
from typing import Any, get_type_hints

import regtorch as rt
from places import ROOT

PAGE = ROOT / "docs" / "rules.md"
_TABLE = re.compile(r"(?<=<!-- table -->\n).*(?=\n<!-- end -->)", re.DOTALL)


KINDS = {"penalty": rt.Penalty, "of outputs": rt.outputs.OutputRule, "constraint": rt.Constraint}


def rules(kind: type) -> dict[str, Any]:
    """Every public rule of a kind, and what makes one."""
    things = {name: getattr(rt, name) for name in rt.__all__}
    classes = {name: _makes(thing) for name, thing in things.items()}
    return {
        n: things[n] for n, cls in classes.items() if inspect.isclass(cls) and issubclass(cls, kind) and cls is not kind
    }


def rows() -> list[str]:
    """A row for every rule."""
    found = []
    for word, kind in KINDS.items():
        for name, thing in rules(kind).items():
            cls = _makes(thing)
            prox = issubclass(cls, rt.Penalty) and cls.prox is not rt.Penalty.prox
            found.append(f"| {_shown(name, thing)} | {word} | {_formula(thing)} | {'yes' * prox} |")
    return ["| rule | | formula | proximal step |", "|---|---|---|:-:|", *found]


def _makes(thing: Any) -> Any:
    """A class, or what a function with a rule's name gives."""
    if inspect.isfunction(thing) and thing.__name__[0].isupper():
        return get_type_hints(thing)["return"]
    return thing


def _shown(name: str, thing: Any) -> str:
    given = [p for p in inspect.signature(thing).parameters.values() if p.name != "select"]
    return f"`rt.{name}({', '.join(p.name if p.default is p.empty else f'{p.name}={p.default!r}' for p in given)})`"


def _formula(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").partition("\n\n")[0].replace("\n", " ").replace("|", "\\|")


def written(text: str) -> str:
    """The page with its table as it is to be."""
    table = "\n".join(rows())
    return _TABLE.sub(lambda _: table, text)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
