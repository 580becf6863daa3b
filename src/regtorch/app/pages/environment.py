"""The one place where data become HTML: everything is escaped here, unless a template says otherwise."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from regtorch.app.figures.drawing import svg
from regtorch.app.figures.panel import Panel, legend
from regtorch.app.pages.words import counted

__all__ = ["environment", "render"]

_TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, **data: object) -> str:
    """A page."""
    return environment().get_template(f"{template}.html.jinja").render(data)


@cache
def environment() -> Environment:
    """The environment of all templates."""
    made = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    style, script = ((_TEMPLATES / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    digest = base64.b64encode(hashlib.sha256(f"\n{script}".encode()).digest()).decode()
    made.globals |= {"style": Markup(style), "script": Markup(script), "script_digest": digest}
    made.filters |= {"counted": counted, "legend": legend, "numbers": _numbers, "svg": _svg}
    return made


def _numbers(text: str) -> list[str]:
    """A text in parts, of which every second one is a number such as 1e-04, which no line may break."""
    return re.split(r"([\d.]+e-\d+)", text)


def _svg(panel: Panel, salt: str) -> Markup:
    return Markup(svg(panel, salt))
