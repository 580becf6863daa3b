"""Operations of `keras.ops` that move, take and combine values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from regtorch.keras.layers.operations.operation import Make, of_floats, of_two, operation

__all__ = [
    "SHAPES",
    "concatenate",
    "depth",
    "expand_dims",
    "flip",
    "get_item",
    "one_hot",
    "pad",
    "repeat",
    "reshape",
    "split",
    "squeeze",
    "stack",
    "take",
    "to_depth",
    "to_space",
    "transpose",
    "unstack",
]


def concatenate(xs: list[Tensor], axis: int | None = 0) -> Tensor:
    return torch.cat([x.flatten() for x in xs]) if axis is None else torch.cat(xs, axis)


def stack(xs: list[Tensor], axis: int = 0) -> Tensor:
    return torch.stack(xs, axis)


def reshape(x: Tensor, newshape: Sequence[int]) -> Tensor:
    return x.reshape([-1 if n is None else n for n in newshape])


def transpose(x: Tensor, axes: Sequence[int] | None = None) -> Tensor:
    return x.permute(*(reversed(range(x.ndim)) if axes is None else axes))


def expand_dims(x: Tensor, axis: int | Sequence[int]) -> Tensor:
    axes = [axis] if isinstance(axis, int) else list(axis)
    ndim = x.ndim + len(axes)
    for a in sorted(a % ndim for a in axes):
        x = x.unsqueeze(a)
    return x


def squeeze(x: Tensor, axis: int | Sequence[int] | None = None) -> Tensor:
    axes = [axis] if isinstance(axis, int) else axis
    if axes is None:
        raise ValueError("axis=None is not supported: a batch of one would lose its dim; name the axes")
    if any(x.shape[a] != 1 for a in axes):
        raise ValueError(f"axis={axis} has more than one value")
    return x.squeeze(tuple(axes))


def get_item(x: Tensor, key: Any) -> Tensor:
    """Slices may go backwards, which torch's do not."""
    keys = list(key) if isinstance(key, list | tuple) else [key]
    if any(isinstance(part, slice) and (part.step or 1) < 0 for part in keys):
        return _backwards(x, keys)
    return x[tuple(keys)]


def _backwards(x: Tensor, keys: list[Any]) -> Tensor:
    """Take the values of slices with negative steps first, then the rest of the keys."""
    at = next((i for i, key in enumerate(keys) if key is ...), len(keys))
    missing = x.ndim - sum(key is not None and key is not ... for key in keys)
    keys = [*keys[:at], *[slice(None)] * missing, *keys[at + 1 :]]
    dim = 0
    for i, key in enumerate(keys):
        if isinstance(key, slice) and (key.step or 1) < 0:
            x = x.index_select(dim, torch.tensor(range(x.shape[dim])[key], device=x.device))
            keys[i] = slice(None)
        dim += key is not None
    return x[tuple(keys)]


def split(x: Tensor, indices_or_sections: int | Sequence[int], axis: int = 0) -> tuple[Tensor, ...]:
    if isinstance(indices_or_sections, int):
        if x.shape[axis] % indices_or_sections:
            raise ValueError(f"{x.shape[axis]} values do not split into {indices_or_sections} equal parts")
        return torch.tensor_split(x, indices_or_sections, axis)
    return torch.tensor_split(x, list(indices_or_sections), axis)


def unstack(x: Tensor, num: int | None = None, axis: int = 0) -> tuple[Tensor, ...]:
    return x.unbind(axis)


def take(x: Tensor, indices: Any, axis: int | None = None) -> Tensor:
    indices = torch.as_tensor(indices, device=x.device).long()
    flat, axis = (x.flatten(), 0) if axis is None else (x, axis % x.ndim)
    indices = torch.where(indices < 0, indices + flat.shape[axis], indices)
    taken = flat.index_select(axis, indices.flatten())
    return taken.unflatten(axis, indices.shape) if indices.ndim else taken.squeeze(axis)


def _take_along_axis(x: Tensor, indices: Tensor, axis: int | None = None) -> Tensor:
    return torch.take_along_dim(x, indices.long(), axis)


def repeat(x: Tensor, repeats: Any, axis: int | None = None) -> Tensor:
    repeats = repeats if isinstance(repeats, int) else torch.as_tensor(repeats, device=x.device)
    return x.flatten().repeat_interleave(repeats) if axis is None else x.repeat_interleave(repeats, axis)


def _tile(x: Tensor, repeats: int | Sequence[int]) -> Tensor:
    return x.tile([repeats] if isinstance(repeats, int) else list(repeats))


def flip(x: Tensor, axis: int | Sequence[int] | None = None) -> Tensor:
    axes = range(x.ndim) if axis is None else [axis] if isinstance(axis, int) else axis
    return x.flip(tuple(axes))


def _roll(x: Tensor, shift: Any, axis: Any = None) -> Tensor:
    return x.roll(shift, axis)


def pad(x: Tensor, constant_values: float | None = None, *, pad_width: Any, mode: str = "constant") -> Tensor:
    pairs = [pad_width] * x.ndim if isinstance(pad_width[0], int) else list(pad_width)
    pairs = pairs * x.ndim if len(pairs) == 1 else pairs
    flat = [n for pair in reversed(pairs) for n in pair]
    if mode == "constant":
        return F.pad(x, flat, value=0 if constant_values is None else constant_values)
    kind = {"reflect": "reflect", "edge": "replicate", "wrap": "circular"}.get(mode)
    if kind is None or any(flat[2 * (x.ndim - 1) :]):
        raise ValueError(f"mode={mode!r} is not supported here; supported are constant, and reflect within a sample")
    inside = flat[: 2 * (x.ndim - 1)]
    return F.pad(x[None], inside, mode=kind)[0] if x.ndim == 2 else F.pad(x, inside, mode=kind)


def _swapaxes(x: Tensor, axis1: int, axis2: int) -> Tensor:
    return x.swapaxes(axis1, axis2)


def _moveaxis(x: Tensor, source: Any, destination: Any) -> Tensor:
    return x.movedim(source, destination)


def _broadcast_to(x: Tensor, shape: Sequence[int]) -> Tensor:
    return x.broadcast_to([-1 if n is None else n for n in shape])


def _triangle(function: Any, x: Tensor, k: int = 0) -> Tensor:
    return function(x, k)


def _einsum(*operands: Tensor, subscripts: str) -> Tensor:
    return torch.einsum(subscripts, *operands)


def _dot(x: Tensor, y: Tensor) -> Tensor:
    """NumPy's: over the last axis of x and the last but one of y."""
    if x.ndim == 0 or y.ndim == 0:
        return x * y
    return _tensordot(x, y, [[x.ndim - 1], [max(y.ndim - 2, 0)]])


def _tensordot(x1: Tensor, x2: Tensor, axes: Any = 2) -> Tensor:
    dims: Any = axes if isinstance(axes, int) else [[a] if isinstance(a, int) else list(a) for a in axes]
    return torch.tensordot(x1, x2, dims=dims)


def one_hot(x: Tensor, num_classes: int, axis: int = -1, dtype: str | None = None, sparse: bool = False) -> Tensor:
    """All zeros for an index outside the classes."""
    if sparse:
        raise ValueError("sparse=True is not supported")
    kind = getattr(torch, dtype or "float32")
    hot = (x.long().unsqueeze(-1) == torch.arange(num_classes, device=x.device)).to(kind)
    return hot.movedim(-1, axis)


def _sort(x: Tensor, axis: int | None = -1) -> Tensor:
    return x.flatten().sort().values if axis is None else x.sort(axis).values


def _argsort(x: Tensor, axis: int | None = -1) -> Tensor:
    return x.flatten().argsort(stable=True) if axis is None else x.argsort(stable=True, dim=axis)


def _top_k(x: Tensor, k: int, sorted: bool = True) -> tuple[Tensor, Tensor]:
    values, indices = x.topk(k, sorted=sorted)
    return values, indices


def depth(function: Any, x: Tensor, block_size: int, data_format: str | None = None) -> Tensor:
    if data_format == "channels_first":
        return function(x.movedim(1, -1), block_size).movedim(-1, 1)
    return function(x, block_size)


def to_depth(x: Tensor, b: int) -> Tensor:
    n, h, w, c = x.shape
    return x.reshape(n, h // b, b, w // b, b, c).permute(0, 1, 3, 2, 4, 5).reshape(n, h // b, w // b, b * b * c)


def to_space(x: Tensor, b: int) -> Tensor:
    n, h, w, c = x.shape
    return x.reshape(n, h, w, b, b, c // b**2).permute(0, 1, 3, 2, 4, 5).reshape(n, h * b, w * b, c // b**2)


_SETTINGS = {
    "Concatenate": (concatenate, "axis"),
    "Stack": (stack, "axis"),
    "Reshape": (reshape, "newshape"),
    "Transpose": (transpose, "axes"),
    "ExpandDims": (expand_dims, "axis"),
    "Squeeze": (squeeze, "axis"),
    "GetItem": (get_item,),
    "Split": (split, "indices_or_sections", "axis"),
    "Unstack": (unstack, "num", "axis"),
    "Take": (take, "axis"),
    "TakeAlongAxis": (_take_along_axis, "axis"),
    "Repeat": (repeat, "repeats", "axis"),
    "Tile": (_tile, "repeats"),
    "Flip": (flip, "axis"),
    "Roll": (_roll, "shift", "axis"),
    "Pad": (pad, "pad_width", "mode"),
    "Swapaxes": (_swapaxes, "axis1", "axis2"),
    "Moveaxis": (_moveaxis, "source", "destination"),
    "BroadcastTo": (_broadcast_to, "shape"),
    "Tril": (partial(_triangle, torch.tril), "k"),
    "Triu": (partial(_triangle, torch.triu), "k"),
    "OneHot": (one_hot, "num_classes", "axis", "dtype", "sparse"),
    "Sort": (_sort, "axis"),
    "Argsort": (_argsort, "axis"),
    "TopK": (_top_k, "k", "sorted"),
    "DepthToSpace": (partial(depth, to_space), "block_size", "data_format"),
    "SpaceToDepth": (partial(depth, to_depth), "block_size", "data_format"),
    "Ravel": (torch.flatten,),
    "Einsum": (partial(of_floats, _einsum), "subscripts"),
    "Matmul": (partial(of_floats, partial(of_two, torch.matmul)),),
    "Dot": (partial(of_floats, partial(of_two, _dot)),),
    "Tensordot": (partial(of_floats, _tensordot), "axes"),
    "Outer": (partial(of_floats, torch.outer),),
    "CDist": (partial(of_floats, torch.cdist),),
}

SHAPES: Mapping[str, Make] = {name: operation(function, *settings) for name, (function, *settings) in _SETTINGS.items()}
