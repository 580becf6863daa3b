"""Render HTML pages; everything is escaped unless a template marks it as safe."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from regtorch.app.figures.drawing import svg
from regtorch.app.record.ranking import tie_words
from regtorch.counted import counted
from regtorch.plot.panel import Panel, legend

__all__ = ["environment", "render"]

_TEMPLATES = Path(__file__).parent / "templates"
_LONG = 40  # characters of a word
_SCRIPTS = ("page", "parts", "scale", "frame", "chart", "filters", "points", "lines", "table", "start", "live")


def render(template: str, **data: object) -> str:
    """Render `templates/{template}.html.jinja`."""
    return environment().get_template(f"{template}.html.jinja").render(data)


@cache
def environment() -> Environment:
    """The Jinja environment."""
    templates = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    style = (_TEMPLATES / "page.css").read_text(encoding="utf-8")
    script = "".join((_TEMPLATES / "scripts" / f"{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(f"\n{script}".encode()).digest()).decode()
    templates.globals |= {"style": Markup(style), "script": Markup(script), "script_digest": digest}
    templates.filters |= {
        "counted": counted,
        "legend": legend,
        "numbers": _numbers,
        "svg": _svg,
        "tie_words": tie_words,
        "brief": _brief,
        "as_json": _as_json,
    }
    return templates


def _numbers(text: str) -> list[str]:
    """Split a text so that every second part is a number such as 1e-04, which must not wrap."""
    return re.split(r"([\d.]+e-\d+)", text)


def _brief(text: str) -> str:
    """The first clause of a text, without the middle of a long word: a caption; the picture's label has the rest."""
    first, rest, _ = text.partition("; ")
    words = [word if len(word) <= _LONG else f"{word[: _LONG // 2]}…{word[-_LONG // 2 :]}" for word in first.split(" ")]
    return " ".join(words) + "." * bool(rest)


def _as_json(data: object) -> Markup:
    """JSON that cannot end the element that holds it."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c"))


def _svg(panel: Panel, salt: str) -> Markup:
    return Markup(svg(panel, salt))
