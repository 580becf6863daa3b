"""Where a weight's output units lie, told by its owner's type, and the way to units first and back."""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

__all__ = ["Layout", "layout_of"]


@dataclass(frozen=True)
class Layout:
    """The dims of a stored weight that name its output units; the other dims are one unit's.

    Attributes:
        dims: those dims; None where they are not known.
        groups: of a transposed convolution, whose units lie in (groups, dim 1); 0 for any other weight.
    """

    dims: tuple[int, ...] | None = (0,)
    groups: int = 0

    def __str__(self) -> str:
        if self.dims is None:
            return "units unknown"
        return f"unit dim{'s' * (len(self.dims) > 1)} {', '.join(map(str, (1,) if self.groups else self.dims))}"

    @property
    def is_view(self) -> bool:
        """Whether units first is a view of the weight, so that writing to it writes to the weight."""
        return self.groups <= 1 and self.dims is not None and len(self.dims) == 1

    def units_first(self, w: Tensor) -> Tensor:
        """From the stored layout to one dim of units, and then the others."""
        dims = self.dims
        if (dims == (0,) and not self.groups) or dims is None or w.ndim < 2:
            return w
        if self.groups:
            w, dims = w.unflatten(0, (self.groups, -1)), (0, 2)
        w = w.movedim(dims, tuple(range(len(dims))))
        return w.flatten(0, len(dims) - 1) if len(dims) > 1 else w

    def stored(self, u: Tensor, shape: torch.Size) -> Tensor:
        """The way back, to a weight of `shape`."""
        dims = self.dims
        if (dims == (0,) and not self.groups) or dims is None or len(shape) < 2:
            return u
        if self.groups:
            shape, dims = torch.Size((self.groups, shape[0] // self.groups, *shape[1:])), (0, 2)
        if len(dims) > 1:
            u = u.unflatten(0, [shape[d] for d in dims])
        u = u.movedim(tuple(range(len(dims))), dims)
        return u.flatten(0, 1) if self.groups else u


_LAYERS = (nn.Linear, nn.Bilinear, _ConvNd, nn.RNNBase, nn.MultiheadAttention)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_KNOWN = re.compile(r"(^|_)(weights?|kernels?|conv|filters?)(_|\d*$)")
_EXPERTS_IN_FIRST = {"Llama4TextExperts"}


def layout_of(owner: nn.Module, attribute: str, w: Tensor) -> Layout:
    """The layout of a weight: dim 0 has the units, as in torch's own layers, unless the owner's type says otherwise.

    Hugging Face's `Conv1D` is (inputs, units), its experts are (experts, units, inputs) or, where they say
    `is_transposed`, (experts, inputs, units), and XLNet's projections are (inputs, heads, units). Of a bare parameter
    with three dims in somebody's own module the layout is not known.
    """
    kind = type(owner).__name__
    if isinstance(owner, _TRANSPOSED) and w.ndim > 2:
        return Layout(groups=int(owner.groups))
    if kind == "Conv1D" and w.ndim == 2:
        return Layout((1,))
    if w.ndim != 3:
        return Layout()
    if kind.endswith("Experts"):
        in_first = getattr(owner, "is_transposed", kind in _EXPERTS_IN_FIRST)
        return Layout((0, 2) if in_first else (0, 1))
    if kind.startswith("XLNet"):
        return Layout((0,) if attribute == "o" else (1, 2))
    bare = type(owner).__module__.partition(".")[0] != "torch" or isinstance(owner, nn.ParameterList | nn.ParameterDict)
    if bare and not isinstance(owner, _LAYERS) and not _KNOWN.search(attribute) and min(w.shape) > 1:
        return Layout(None)
    return Layout()
