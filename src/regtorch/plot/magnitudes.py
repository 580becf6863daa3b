"""What a penalty did to the weights: the sizes of each weight's elements or units, and its exact zeros."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from regtorch.bound.bound_rule import Bound
from regtorch.bound.terms import BoundTerms
from regtorch.checks import shown
from regtorch.counted import counted
from regtorch.numerics.sharded import full
from regtorch.plot.canvas import axes_for
from regtorch.plot.drawing import apply, escaped
from regtorch.plot.panel import Axis, look
from regtorch.rule import DEFAULT_SELECT, wide
from regtorch.select.language import choose
from regtorch.select.weight import Weight

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["weights"]

_BINS = 60  # at most
_OFF = 0.001  # share of a weight's sizes that may lie left of the axis
_HEIGHT = 0.42  # of half a shape, in rows
By = Literal["element", "unit"]


@dataclass(frozen=True)
class _Sizes:
    """The sizes of one weight's elements or units, without zeros, in order."""

    name: str
    what: str  # its shape, or the number of its units
    sizes: Tensor
    zeros: float  # share of exact zeros
    lost: int  # not finite

    @property
    def low(self) -> float:
        return self.sizes[int(_OFF * len(self.sizes))].item()

    @property
    def label(self) -> str:
        lost = f", {self.lost} not finite" if self.lost else ""
        return f"{self.name}\n{self.what}, {_percent(self.zeros)} zeros{lost}"


def weights(
    source: nn.Module | Bound | BoundTerms, ax: Axes | None = None, *, select: str | None = None, by: By = "element"
) -> Axes:
    r"""Draw how large each weight's elements are, on a logarithmic axis, and say how many are exactly 0.

    A row is the histogram of |w| over the elements that are not 0, with a tick at their median. A proximal L1 leaves
    zeros and a shape of its own; L1 by the gradient a long tail to the left and no zeros; L2 moves the whole shape to
    the left. `by="unit"` draws ‖unit‖₂ instead, as `rt.MaxNorm` and `rt.GroupLasso` treat units.

    Args:
        source: a net, or a bound rule or sum of rules, whose weights are drawn.
        ax: matplotlib's axes to draw on; None makes a figure that is as high as there are weights.
        select: which weights of a net; None stands for "kernel".
        by: "element", or "unit" for the norms of output units.

    Returns:
        The axes.

    Raises:
        TypeError: `source` is neither a net nor a bound rule, `select` is given beside a bound rule, or `ax` are no
            axes.
        ValueError: a rule acts on no weight, as one of outputs; `by` is another word; weights are on the meta device;
            or the units of a weight are unknown.
        SelectionError: `select` is invalid or matches nothing.
        ModuleNotFoundError: matplotlib is not installed.

    Example:
        >>> import torch, regtorch as rt
        >>> net = torch.nn.Linear(3, 2)
        >>> _ = torch.nn.init.constant_(net.weight, 0.5)
        >>> with torch.no_grad():
        ...     net.weight[0] = 0
        >>> ax = rt.plot.weights(net)
        >>> ax.get_yticklabels()[0].get_text()
        'weight\n2×3, 50 % zeros'
    """
    if by not in ("element", "unit"):
        raise ValueError(f"plot.weights: by must be 'element' or 'unit', received {by!r}")
    rows = [_sizes(weight, tensor.detach(), by) for weight, tensor in _chosen(source, select).items()]
    axes = axes_for("plot.weights", ax, (6.4, 1.2 + 0.5 * len(rows)))
    drawn = [row for row in rows if len(row.sizes)]
    for place, row in enumerate(rows):
        if len(row.sizes):
            _shape(axes, place, row, labelled=row is drawn[0])
    what = "‖unit‖₂" if by == "unit" else "|w|"
    axes.set_xlabel(f"{what}, without zeros and the smallest {_percent(_OFF)}")
    axes.set_yticks(range(len(rows)), [escaped(row.label) for row in rows], fontsize="small")
    axes.set_ylim(len(rows) - 0.4, -0.6)
    if drawn:
        axes.set_xlim(min(row.low for row in drawn) / 1.3, max(row.sizes[-1].item() for row in drawn) * 1.3)
        apply(Axis(log=True), axes.xaxis)
        axes.legend(fontsize="small", loc="best")
    axes.grid(alpha=0.3, axis="x")
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _chosen(source: object, select: str | None) -> dict[Weight, Tensor]:
    if isinstance(source, nn.Module):
        chosen = choose(source, DEFAULT_SELECT if select is None else select).chosen
        return {weight: weight.read(source) for weight in chosen}
    if not isinstance(source, Bound | BoundTerms):
        raise TypeError(f"plot.weights: source must be a net or a bound rule, received {shown(source)}")
    if select is not None:
        raise TypeError(f"plot.weights: select is for a net, and {source!r} has its weights; leave it out")
    found = dict(_of_rules(source))
    if not found:
        raise ValueError(f"plot.weights: {source!r} acts on no trainable weight; give the net instead")
    return found


def _of_rules(source: Bound | BoundTerms) -> Iterator[tuple[Weight, Tensor]]:
    if isinstance(source, BoundTerms):
        for _, term in source.terms():
            yield from term.weights()
    else:
        yield from source.weights()


def _sizes(weight: Weight, tensor: Tensor, by: By) -> _Sizes:
    if tensor.is_meta:
        raise ValueError(f"plot.weights: the weight {weight.name!r} is on the meta device and has no values")
    w = wide(full(tensor))
    if by == "unit" and weight.layout.dims is None:
        raise ValueError(
            f"plot.weights: the dim of the output units of {weight.name!r} is unknown; leave it out with "
            f"select='… -name:{weight.name}', or take by='element'"
        )
    units = weight.layout.units_first(w) if by == "unit" else w
    sizes = (units.flatten(1).norm(dim=1) if by == "unit" and units.ndim > 1 else units.abs()).flatten().cpu()
    finite = sizes[sizes.isfinite()]
    kept = finite[finite > 0].sort().values
    zeros = (len(finite) - len(kept)) / max(1, len(sizes))
    what = counted(len(sizes), "unit") if by == "unit" else "×".join(map(str, tensor.shape)) or "scalar"
    return _Sizes(" = ".join(weight.names), what, kept, zeros, len(sizes) - len(finite))


def _shape(axes: Any, place: int, row: _Sizes, *, labelled: bool) -> None:
    logs = row.sizes.double().log10()
    low, high = math.log10(row.low), logs[-1].item()
    low, high = (low, high) if high > low else (low - 0.01, high + 0.01)
    bins = min(_BINS, 8 + 2 * math.isqrt(len(logs)))
    counts = torch.histc(logs, bins, low, high)
    heights = _HEIGHT * counts / counts.max()
    edges = 10 ** torch.linspace(low, high, bins + 1, dtype=torch.float64)
    below, above = (torch.cat([place + sign * heights, place + sign * heights[-1:]]).tolist() for sign in (-1, 1))
    axes.fill_between(edges.tolist(), below, above, step="post", color=look(0).colour, alpha=0.7, linewidth=0)
    median = row.sizes[len(row.sizes) // 2].item()
    label = "median" if labelled else None
    axes.plot([median] * 2, [place - _HEIGHT, place + _HEIGHT], color=look(1).colour, linewidth=1.5, label=label)


def _percent(share: float) -> str:
    """A share that is not rounded to all or nothing."""
    return f"{100 * share:.3g} %" if share in (0, 1) or 0.0005 < share < 0.9995 else f"{100 * share:.6g} %"
