"""Operations of `keras.ops` on whole arrays, as NumPy has them: stacks, diagonals, differences, parts set anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from regtorch.keras.layers.operations.operation import Make, of_floats, of_two, operation
from regtorch.keras.layers.operations.shapes import one_hot

__all__ = ["ARRAYS"]


def _joined(function: Any, xs: list[Tensor]) -> Tensor:
    return function(xs)


def _append(x1: Tensor, x2: Tensor, axis: int | None = None) -> Tensor:
    return torch.cat([x1.flatten(), x2.flatten()]) if axis is None else torch.cat([x1, x2], axis)


def _array_split(x: Tensor, indices_or_sections: int | Sequence[int], axis: int = 0) -> tuple[Tensor, ...]:
    parts: Any = indices_or_sections if isinstance(indices_or_sections, int) else list(indices_or_sections)
    return torch.tensor_split(x, parts, axis)


def _rot90(x: Tensor, k: int = 1, axes: Sequence[int] = (0, 1)) -> Tensor:
    return torch.rot90(x, k, list(axes))


def _diagonal(x: Tensor, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    return torch.diagonal(x, offset, axis1, axis2)


def _trace(x: Tensor, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    return _diagonal(x, offset, axis1, axis2).sum(-1)


def _diff(a: Tensor, n: int = 1, axis: int = -1) -> Tensor:
    return torch.diff(a, n, axis)


def _slice(inputs: Tensor, start_indices: Sequence[int], shape: Sequence[int]) -> Tensor:
    ends = zip(start_indices, shape, strict=True)
    return inputs[tuple(slice(int(start), int(start) + size) for start, size in ends)]


def _slice_update(inputs: Tensor, start_indices: Sequence[int], updates: Tensor) -> Tensor:
    output = inputs.clone()
    _slice(output, start_indices, updates.shape).copy_(updates)
    return output


def _scatter(indices: Any, values: Tensor, shape: Sequence[int]) -> Tensor:
    """Values for the same place are added."""
    return _put(torch.zeros(list(shape), dtype=values.dtype, device=values.device), indices, values, True)


def _scatter_update(inputs: Tensor, indices: Any, updates: Tensor, reduction: str | None = None) -> Tensor:
    if reduction not in (None, "add"):
        raise ValueError(f"reduction={reduction!r} is not supported; supported are None and 'add'")
    return _put(inputs, indices, torch.as_tensor(updates), reduction == "add")


def _put(x: Tensor, indices: Any, values: Tensor, add: bool) -> Tensor:
    where = torch.as_tensor(indices, device=x.device).long().unbind(-1)
    return x.index_put(where, values.to(x.device, x.dtype), accumulate=add)


def _segment_sum(data: Tensor, segment_ids: Any, num_segments: int | None = None, sorted: bool = False) -> Tensor:
    if num_segments is None:
        raise ValueError("num_segments=None is not supported: the shape would depend on the values; give the number")
    total = torch.zeros((num_segments, *data.shape[1:]), dtype=data.dtype, device=data.device)
    return total.index_add(0, torch.as_tensor(segment_ids, device=data.device).long(), data)


def _multi_hot(x: Tensor, num_classes: int, axis: int = -1, dtype: str | None = None, sparse: bool = False) -> Tensor:
    return one_hot(x, num_classes, axis, dtype, sparse).amax(1 if x.ndim > 1 else 0)


def _in_top_k(targets: Tensor, predictions: Tensor, k: int) -> Tensor:
    """Ties with the last of the k are in."""
    given = predictions.gather(-1, targets.long().unsqueeze(-1))
    return ((predictions > given).sum(-1) < k) & given.squeeze(-1).isfinite()


def _cross(
    x1: Tensor, x2: Tensor, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Tensor:
    axes = (axisa, axisb, axisc) if axis is None else (axis,) * 3
    a, b = (x.movedim(a, -1) for x, a in zip((x1, x2), axes, strict=False))
    return torch.linalg.cross(a, b).movedim(-1, axes[2])


def _inner(x1: Tensor, x2: Tensor) -> Tensor:
    return torch.inner(x1, x2)


def _vdot(x1: Tensor, x2: Tensor) -> Tensor:
    return torch.dot(x1.flatten(), x2.flatten())


def _kron(x1: Tensor, x2: Tensor) -> Tensor:
    return torch.kron(x1.contiguous(), x2.contiguous())  # torch's takes no other on the meta device


def _extract_sequences(x: Tensor, sequence_length: int, sequence_stride: int) -> Tensor:
    return x.unfold(-1, sequence_length, sequence_stride)


_SETTINGS = {
    **{name: (partial(_joined, getattr(torch, name.lower())),) for name in ("Hstack", "Vstack", "Dstack")},
    "Append": (_append, "axis"),
    "ArraySplit": (_array_split, "indices_or_sections", "axis"),
    "Fliplr": (torch.fliplr,),
    "Flipud": (torch.flipud,),
    "Rot90": (_rot90, "k", "axes"),
    "Diagonal": (_diagonal, "offset", "axis1", "axis2"),
    "Trace": (partial(of_floats, _trace), "offset", "axis1", "axis2"),
    "Diff": (partial(of_floats, _diff), "n", "axis"),
    "Slice": (_slice, "shape"),
    "SliceUpdate": (_slice_update,),
    "Scatter": (_scatter, "shape"),
    "ScatterUpdate": (_scatter_update, "reduction"),
    "SegmentSum": (partial(of_floats, _segment_sum), "num_segments", "sorted"),
    "MultiHot": (_multi_hot, "num_classes", "axis", "dtype", "sparse"),
    "InTopK": (_in_top_k, "k"),
    "Cross": (partial(of_floats, _cross), "axisa", "axisb", "axisc", "axis"),
    "Inner": (partial(of_floats, partial(of_two, _inner)),),
    "Vdot": (partial(of_floats, partial(of_two, _vdot)),),
    "Kron": (partial(of_floats, partial(of_two, _kron)),),
    "ExtractSequences": (_extract_sequences, "sequence_length", "sequence_stride"),
}

ARRAYS: Mapping[str, Make] = {name: operation(function, *settings) for name, (function, *settings) in _SETTINGS.items()}
