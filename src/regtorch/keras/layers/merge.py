"""Layers with several inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

import torch
from torch import Tensor, nn

from regtorch.keras.masks import Masks, united
from regtorch.keras.spec import Spec

__all__ = ["Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply", "Subtract"]


class _Merge(nn.Module):
    least, most = 2, 1000
    operation: Callable[[Tensor, Tensor], Tensor]

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        if not self.least <= len(spec.shapes) <= self.most:
            raise ValueError(f"it takes {self.least} inputs{' or more' * (self.most > 2)}, received {len(spec.shapes)}")
        self.axes, self.ndim = spec.axes, max(map(len, spec.shapes))
        self.unequal = any(len(shape) < self.ndim for shape in spec.shapes)
        self.narrow = spec.narrow

    def aligned(self, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        """The inputs with as many dims as the largest: Keras adds them after the batch, in its order of dims.

        Raises:
            ValueError: they are whole numbers in a net that has ones of 8 or 16 bits, with which Keras wraps.
        """
        if self.narrow and not any(x.is_floating_point() for x in inputs):
            raise ValueError(
                "inputs of whole numbers are not supported; cast them in Keras: keras.ops.cast(x, 'float32')"
            )
        if not self.unequal:
            return inputs
        return [self._aligned(x) for x in inputs]

    def _aligned(self, x: Tensor) -> Tensor:
        x = self.axes.to_keras(x)
        return self.axes.from_keras(x.reshape(x.shape[0], *[1] * (self.ndim - x.ndim), *x.shape[1:]))

    def output_masks(self, masks: Masks, *inputs: Tensor) -> Tensor | None:
        return united(masks)

    def forward(self, *inputs: Tensor) -> Tensor:
        return reduce(self.operation, self.aligned(inputs))


class Add(_Merge):
    operation = staticmethod(torch.add)


class Subtract(_Merge):
    most, operation = 2, staticmethod(torch.sub)


class Average(Add):
    def forward(self, *inputs: Tensor) -> Tensor:
        return super().forward(*inputs) / len(inputs)


class _Masked(_Merge):
    """A merge that in Keras 3 heeds the masks of its inputs."""

    takes_masks = True

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.version = spec.version

    def _spread(self, mask: Tensor | None, x: Tensor) -> Tensor | None:
        return (
            None if mask is None else self.axes.from_keras(mask.bool()[..., None].expand(self.axes.to_keras(x).shape))
        )


class Multiply(_Masked):
    operation = staticmethod(torch.mul)

    def forward(self, *inputs: Tensor, masks: Masks = ()) -> Tensor:
        """In Keras 3, what does not count is 1 in the product, and the product is 0 where no input counts."""
        if self.version == 2 or not masks:
            return super().forward(*inputs)
        inputs = tuple(self.aligned(inputs))
        counts = [self._spread(mask, x) for mask, x in zip(masks, inputs, strict=True)]
        output = super().forward(*(x if c is None else x.where(c, 1) for x, c in zip(inputs, counts, strict=True)))
        known = [c for c in counts if c is not None]
        return output.where(reduce(torch.logical_or, known), 0) if len(known) == len(counts) else output


class _Extreme(_Masked):
    def forward(self, *inputs: Tensor, masks: Masks = ()) -> Tensor:
        """In Keras 3, where one of two inputs does not count, the other's value stands for it."""
        if self.version == 2 or not masks:
            return super().forward(*inputs)
        inputs = tuple(self.aligned(inputs))
        output, counts = inputs[0], self._spread(masks[0], inputs[0])
        for x, mask in zip(inputs[1:], masks[1:], strict=True):
            kept = self._spread(mask, x)
            given = x if kept is None else torch.where(kept, x, output)
            output = output if counts is None else torch.where(counts, output, given)
            counts = None if kept is None or counts is None else counts | kept
            output = self.operation(output, given)
        return output


class Maximum(_Extreme):
    operation = staticmethod(torch.maximum)


class Minimum(_Extreme):
    operation = staticmethod(torch.minimum)


class Concatenate(_Merge):
    least, axis = 1, -1

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        if self.unequal:
            raise ValueError(f"inputs of different numbers of dims are not supported: {spec.shapes}")
        self.dim = spec.dim("axis", self.axis, len(spec.shapes[0]))

    def output_masks(self, masks: Masks, *inputs: Tensor) -> Tensor | None:
        """A step counts where any of its values comes from a step that counts; an input without a mask counts."""
        if all(mask is None for mask in masks):
            return None
        return self.axes.to_keras(
            torch.cat([self._spread(m, x) for m, x in zip(masks, inputs, strict=True)], self.dim)
        ).any(-1)

    def _spread(self, mask: Tensor | None, x: Tensor) -> Tensor:
        """The mask of every value of `x`."""
        shape = self.axes.to_keras(x).shape
        kept = torch.ones((), dtype=torch.bool, device=x.device) if mask is None else mask.bool()
        return self.axes.from_keras((kept[..., None] if 0 < kept.ndim < x.ndim else kept).expand(shape))

    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.cat(inputs, self.dim)
