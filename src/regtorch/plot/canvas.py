"""The axes that a picture is drawn on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from regtorch.checks import shown
from regtorch.extras import needed_by
from regtorch.plot.drawing import draw, escaped
from regtorch.plot.panel import Panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["axes_for", "draw_panel"]


def axes_for(user: str, ax: Any, size: tuple[float, float] = (5.6, 3.6)) -> Axes:
    """The axes that were given, or those of a new figure of pyplot's.

    Args:
        user: the function that draws, for messages.
        ax: what was given.
        size: of a new figure, in inches.

    Raises:
        TypeError: `ax` are no axes.
        ModuleNotFoundError: matplotlib is not installed.
    """
    with needed_by(user):
        from matplotlib import pyplot
        from matplotlib.axes import Axes
    if ax is None:
        return pyplot.subplots(figsize=size, layout="constrained")[1]
    if not isinstance(ax, Axes):
        raise TypeError(
            f"{user}: ax must be the axes of a plot, such as one of plt.subplots(1, 2)[1], received {shown(ax)}"
        )
    return ax


def draw_panel(panel: Panel, ax: Axes) -> Axes:
    """Draw a panel with its title, and a legend where anything has a label."""
    draw(panel, ax)
    ax.set_title(escaped(panel.title), fontsize="medium")
    if ax.get_legend_handles_labels()[0]:
        ax.legend(fontsize="small")
    return ax
