"""What pictures share: colours for light and dark pages, words, boxes, and panels side by side."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

from regtorch.app.figures.drawing import svg
from regtorch.plot.panel import FAINT, LOOKS, Panel, legend

__all__ = ["LINES", "box", "drawing", "panels", "words"]

_LIGHT = {look.variable: look.colour for look in (*LOOKS, FAINT)}
_DARK = {"--line0": "#56B4E9", "--line1": "#F0803C", "--line2": "#2FC79A", "--line3": "#E39CC4", "--line4": "#F0B83C"}
_DARK |= {"--line5": "#9AD0F2", "--line6": "#E6E6EA", FAINT.variable: "#9A9AA4"}
_PAPER = (
    {"--ink": "#1c1c22", "--grid": "#b0b0b0", "--box": "#f4f5f8"},
    {"--ink": "#e6e6ea", "--grid": "#5a5a62", "--box": "#24262c"},
)
LINES = [f"var({look.variable})" for look in LOOKS]
"""Colours, by number."""
_WIDTH, _HEIGHT, _TITLE, _ROW = 317, 209, 26, 18  # of a panel, its title, and a line of the legend


def drawing(width: float, height: float, parts: Iterable[str]) -> str:
    """An SVG file in the colours of the reader's page."""
    light, dark = (colours | paper for colours, paper in zip((_LIGHT, _DARK), _PAPER, strict=True))
    drawn = "\n".join(parts)
    used = [name for name in sorted(light) if name == "--ink" or name in drawn]
    # A page's color-scheme chooses; a file that is shown by itself follows the reader's system.
    style = "".join(f"{name}:light-dark({light[name]},{dark[name]});" for name in used)
    style = (
        f"svg.picture{{{style}color:var(--ink);font-family:system-ui,sans-serif}}"
        "svg.picture:root{color-scheme:light dark}"
    )
    return (
        f'<svg class="picture" xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}"><style>{style}</style>\n'
        + f"{drawn}\n</svg>\n"
    )


def words(x: float, y: float, text: str, *, size: float = 12, colour: str = "currentColor", **more: str) -> str:
    """Text; `anchor`, `weight` and `family` say how."""
    names = {"anchor": "text-anchor", "weight": "font-weight", "family": "font-family", "style": "font-style"}
    extra = "".join(f' {names[name]}="{value}"' for name, value in more.items())
    place = f'x="{x:g}" y="{y:g}" font-size="{size:g}" fill="{colour}"'
    return f'<text {place} xml:space="preserve"{extra}>{escape(text)}</text>'


def box(x: float, y: float, width: float, height: float) -> str:
    """A box with round corners."""
    place = f'x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"'
    return f'<rect {place} rx="7" fill="var(--box)" stroke="var(--grid)" stroke-width="1.4"/>'


def panels(name: str, shown: Sequence[Panel]) -> str:
    """Plots side by side with one legend below."""
    keys = legend(shown)
    width = max(_WIDTH * len(shown), 80 + 7 * max(len(key.label) for key in keys))
    top = _TITLE if any(panel.title for panel in shown) else 0
    parts = []
    for number, panel in enumerate(shown):
        x = _WIDTH * number
        inner = re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', "", svg(panel, f"{name} {number}"), count=1)
        inner = inner.replace('<style type="text/css">*{', '<style type="text/css">svg.picture *{')
        parts += [words(x + 54, 17, panel.title, size=12.5, weight="600")] if panel.title else []
        parts.append(f'<svg x="{x}" y="{top}" width="{_WIDTH}" height="{_HEIGHT}" {_short(inner)}')
    y = top + _HEIGHT
    for key in keys:
        y += _ROW
        parts.append(words(54, y, f"{key.sign}  {key.label}", colour=f"var({key.variable})"))
    return drawing(width, y + 10, parts)


def _short(text: str) -> str:
    """Without what a drawing does not need: comments, spaces, bare groups, hundredths of a point, a dozen fonts."""
    text = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"font-family: [^;\"]+", "font-family: sans-serif", text)
    text = re.sub(r"<[^>]+>", lambda tag: re.sub(r"(\d+\.\d)\d+", r"\1", " ".join(tag[0].split())), text)
    text = re.sub(r' transform="rotate\(-0 [^"]*"', "", text)
    kept: list[bool] = []

    def of_group(tag: re.Match[str]) -> str:
        if tag[0] == "</g>":
            return tag[0] if kept.pop() else ""
        kept.append(tag[0] not in ("<g>", '<g id="">'))
        return tag[0] if kept[-1] else ""

    return re.sub(r">\s+<", "><", re.sub(r"<g(?: [^>]*)?>|</g>", of_group, text))
