"""A plot: inline SVG in the page's own colours, and a part of a PNG beside it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any
from warnings import catch_warnings, filterwarnings

from regtorch.sweep.drawing import COLOURS, svg_element
from regtorch.training.whole import write_png

__all__ = ["FAINT", "LOOKS", "Look", "Panel", "picture", "plain", "svg"]

FAINT = "#8c8c96"
"""Of lines that are there for comparison."""
_INK, _GRID = "#1c1c22", "#b0b0b0"
_WIDTH, _HEIGHT, _TITLE = 4.6, 3.2, 0.4  # of a panel and above all, in inches of a PNG


@dataclass(frozen=True)
class Look:
    """How a line is told from others: by its colour, and by its marker for those who do not see colours.

    Attributes:
        colour: of matplotlib.
        marker: likewise.
        sign: the marker as a character.
        variable: the colour in the page's style sheet, where it fits to dark and light.
    """

    colour: str
    marker: str
    sign: str
    variable: str


LOOKS = tuple(
    Look(colour, marker, sign, f"--line{number}")
    for number, (colour, marker, sign) in enumerate(zip(COLOURS, "os^DvPX", "●■▲◆▼✚✖", strict=True))
)
"""The looks there are; what is more than these is drawn faintly."""


@dataclass(frozen=True)
class Panel:
    """A plot.

    Attributes:
        title: what it shows.
        text: what is to be seen, in words.
        draw: draws it on matplotlib's axes.
        left: the share of the width that labels at the left need.
    """

    title: str
    text: str
    draw: Callable[[Any], None]
    left: float = 0.17


def svg(panel: Panel, salt: str) -> str:
    """The plot as an element of the page, whose label is its text.

    Args:
        panel: the plot.
        salt: keeps the ids of one page's plots apart, and the same from one time to the next.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({**_look(), "svg.fonttype": "none", "svg.hashsalt": f"{salt} {panel.title}"}):
        figure = Figure(figsize=(4.4, 2.9), facecolor="none")
        # Fixed: to measure the labels takes as long as to draw them.
        figure.subplots_adjust(panel.left, 0.165, 0.975, 0.965)
        axes = figure.add_subplot(facecolor="none")
        panel.draw(axes)
        text = svg_element(figure, f"{panel.title}. {panel.text}")
    text = re.sub(r'<g id="[\w.]+">', "<g>", text)  # the same in every plot
    for look in LOOKS:
        text = text.replace(look.colour.lower(), f"var({look.variable})")
    return text.replace(_INK, "currentColor").replace(_GRID, "var(--grid)").replace(FAINT, "var(--faint)")


def picture(panels: Sequence[Panel], title: str, path: Path) -> None:
    """Write panels side by side into a PNG."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    columns = min(len(panels), 2 if len(panels) in (2, 4) else 3)
    rows = -(-len(panels) // columns)
    with rc_context(_look()):
        figure = Figure(dpi=120)
        for number, panel in enumerate(panels):
            axes = figure.add_axes((0, 0, 1, 1), label=str(number))
            panel.draw(axes)
            axes.set_title(plain(panel.title), fontsize=10)
        width, below = _WIDTH * columns, _legend(figure, _WIDTH * columns)
        height = _HEIGHT * rows + _TITLE + below
        figure.set_size_inches(width, height)
        for number, (axes, panel) in enumerate(zip(figure.axes, panels, strict=True)):
            row, column = divmod(number, columns)
            x, y = _WIDTH * (column + panel.left), below + _HEIGHT * (rows - 1 - row) + 0.5
            axes.set_position((x / width, y / height, (0.97 - panel.left) * _WIDTH / width, 2.35 / height))
        figure.suptitle(plain(title), fontsize=11, y=1 - 0.08 / height, va="top")
        with catch_warnings():
            filterwarnings("ignore", "Glyph")  # a character that the font has not
            write_png(figure, path)


def _legend(figure: Any, width: float) -> float:
    """One legend for all panels, below them, where they have none of their own; its height in inches."""
    handles: dict[str, Any] = {}
    for axes in figure.axes:
        if axes.get_legend() is not None:
            return 0.0
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(plain(shorten(label, 70)), handle)
    if not handles:
        return 0.0
    columns = max(1, min(4, int(width / (0.6 + 0.075 * max(map(len, handles))))))
    figure.legend(handles.values(), handles, loc="lower center", ncols=columns, frameon=False)
    return 0.2 * -(-len(handles) // columns) + 0.15


def plain(text: str) -> str:
    """A text that matplotlib takes for no formula."""
    return text.replace("$", r"\$")


def _look() -> dict[Any, Any]:
    coloured = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    return {"font.family": "sans-serif", "font.size": 9, "grid.color": _GRID, **dict.fromkeys(coloured, _INK)}
