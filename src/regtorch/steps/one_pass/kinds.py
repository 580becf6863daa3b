"""Whether tensors are of the kinds for which code was compiled, which does not ask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["Kinds", "kind_of"]


class Kinds:
    """The dtypes, devices, shapes and strides of some tensors."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._expected = list(map(kind_of, tensors))
        self._check: Any = _checked(tensors)

    def fit(self, tensors: Sequence[Tensor]) -> bool:
        """Whether these are of the same kinds, in this order."""
        if self._check is not None:
            return len(tensors) == len(self._expected) and self._check(*tensors)
        return list(map(kind_of, tensors)) == self._expected


def kind_of(t: Tensor) -> tuple[object, ...]:
    """All of a tensor but its numbers and where they lie."""
    return type(t), t.dtype, t.device, t.shape, t.stride() if t.layout is torch.strided else t.layout


def _checked(tensors: Sequence[Tensor]) -> Any:
    """Torch's own check of a compiled function's arguments, 20 times as fast as one in Python; None if it has none."""
    try:
        from torch._C._dynamo.guards import TensorGuards

        check = TensorGuards(*tensors, dynamic_dims_sizes=None, dynamic_dims_strides=None).check
        return check if tensors and check(*tensors) else None
    except (ImportError, TypeError, RuntimeError):
        return None
