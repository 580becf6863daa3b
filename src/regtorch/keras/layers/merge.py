"""Layers with several inputs."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import torch
from torch import Tensor, nn

from regtorch.keras.spec import Spec

__all__ = ["Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply", "Subtract"]


class _Merge(nn.Module):
    least, most = 2, 1000
    operation: Callable[[Tensor, Tensor], Tensor]

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        if not self.least <= len(spec.shapes) <= self.most:
            raise ValueError(f"it takes {self.least} inputs{' or more' * (self.most > 2)}, received {len(spec.shapes)}")
        if len({len(shape) for shape in spec.shapes}) > 1:
            raise ValueError(f"inputs of different numbers of dims are not supported: {spec.shapes}")

    def forward(self, *inputs: Tensor) -> Tensor:
        return reduce(self.operation, inputs)


class Add(_Merge):
    operation = staticmethod(torch.add)


class Subtract(_Merge):
    most, operation = 2, staticmethod(torch.sub)


class Multiply(_Merge):
    operation = staticmethod(torch.mul)


class Average(Add):
    def forward(self, *inputs: Tensor) -> Tensor:
        return super().forward(*inputs) / len(inputs)


class Maximum(_Merge):
    operation = staticmethod(torch.maximum)


class Minimum(_Merge):
    operation = staticmethod(torch.minimum)


class Concatenate(_Merge):
    least, axis = 1, -1

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.dim = spec.dim("axis", self.axis, len(spec.shapes[0]))

    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.cat(inputs, self.dim)
