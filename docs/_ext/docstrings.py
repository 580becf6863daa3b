"""Docstrings and signatures as they are written: shapes by their names, formulas as plain text."""

from __future__ import annotations

import inspect
import re
from typing import Any

_MODULES = re.compile(r"\b(?:[A-Za-z_]\w*\.)+(?=[A-Za-z_])")
_CODE = re.compile(r"(``.+?``|`[^`]+`)")
_MARKS = re.compile(r"(?<!\\)([|*_])")


def setup(app: Any) -> dict[str, bool]:
    """Connect to autodoc."""
    app.connect("autodoc-process-signature", _signature)
    app.connect("autodoc-process-docstring", _docstring, priority=400)  # before Napoleon
    return {"parallel_read_safe": True}


def _signature(app: Any, what: str, name: str, thing: Any, options: Any, given: str, returns: str) -> Any:
    """`Float[Tensor, "units *fan_in"]` stays as it stands; autodoc would write what it is an alias of."""
    if what not in ("class", "function", "method") or given is None:
        return None
    try:
        signature = inspect.signature(thing)
    except (TypeError, ValueError):
        return None
    parameters = list(signature.parameters.values())
    if what == "method" and parameters and parameters[0].name in ("self", "cls"):
        parameters = parameters[1:]
    shown = [p.replace(annotation=inspect.Parameter.empty) for p in parameters]
    words = _words(shown, parameters)
    result = "" if what == "class" or signature.return_annotation is signature.empty else signature.return_annotation
    return f"({', '.join(words)})", _plain(result) if result != "" else None


def _words(shown: list[inspect.Parameter], parameters: list[inspect.Parameter]) -> list[str]:
    words: list[str] = []
    star = False
    for bare, parameter in zip(shown, parameters, strict=True):
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            words.append("*")
        star = star or parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL)
        mark = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        type_ = "" if parameter.annotation is parameter.empty else f": {_plain(parameter.annotation)}"
        value = (
            "" if parameter.default is parameter.empty else f"{' = ' if type_ else '='}{_default(parameter.default)}"
        )
        words.append(f"{mark}{bare.name}{type_}{value}")
    return words


def _plain(annotation: Any) -> str:
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return _MODULES.sub("", text)


def _default(value: Any) -> str:
    text = repr(value)
    return "..." if text.startswith("<") else _MODULES.sub("", text) if "(" in text else text


def _docstring(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """`|`, `*` and `_` of formulas are themselves; names of Markdown's code stay code."""
    for number, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            parts = _CODE.split(line)
            lines[number] = "".join(part if at % 2 else _escaped(part) for at, part in enumerate(parts))


def _escaped(text: str) -> str:
    return _MARKS.sub(r"\\\1", text)
