"""Layers with several inputs."""

from __future__ import annotations

from abc import abstractmethod
from functools import reduce

import torch
from torch import Tensor, nn

from regtorch.keras.spec import Spec

__all__ = ["Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply", "Subtract"]


class _Merge(nn.Module):
    least, most = 2, 1000

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        if not self.least <= len(spec.shapes) <= self.most:
            raise ValueError(f"it takes {self.least} inputs{' or more' * (self.most > 2)}, received {len(spec.shapes)}")
        if len({len(shape) for shape in spec.shapes}) > 1:
            raise ValueError(f"inputs of different numbers of dims are not supported: {spec.shapes}")

    @abstractmethod
    def forward(self, *inputs: Tensor) -> Tensor:
        """Merge."""


class Add(_Merge):
    def forward(self, *inputs: Tensor) -> Tensor:
        return reduce(torch.add, inputs)


class Subtract(_Merge):
    most = 2

    def forward(self, *inputs: Tensor) -> Tensor:
        return inputs[0] - inputs[1]


class Multiply(_Merge):
    def forward(self, *inputs: Tensor) -> Tensor:
        return reduce(torch.mul, inputs)


class Average(_Merge):
    def forward(self, *inputs: Tensor) -> Tensor:
        return reduce(torch.add, inputs) / len(inputs)


class Maximum(_Merge):
    def forward(self, *inputs: Tensor) -> Tensor:
        return reduce(torch.maximum, inputs)


class Minimum(_Merge):
    def forward(self, *inputs: Tensor) -> Tensor:
        return reduce(torch.minimum, inputs)


class Concatenate(_Merge):
    least, axis = 1, -1

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.dim = spec.dim("axis", self.axis, len(spec.shapes[0]))

    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.cat(inputs, self.dim)
