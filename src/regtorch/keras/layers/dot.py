"""The dot product of two inputs along one axis of each."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from regtorch.keras.masks import Masks
from regtorch.keras.spec import Spec

__all__ = ["EPSILON", "Dot", "unit"]

EPSILON = {2: 1e-6, 3: 1e-7}  # Keras 2's l2_normalize bounds the sum of squares by 1e-12, Keras 3 the norm


def unit(x: Tensor, dims: tuple[int, ...], epsilon: float) -> Tensor:
    """`x` by its norm over these dims, which counts as at least epsilon."""
    most = min(1.0 / epsilon, torch.finfo(x.dtype).max)
    return x * x.square().sum(dims, keepdim=True).rsqrt().clamp(max=most)


class Dot(nn.Module):
    keras_order = True

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        if len(spec.shapes) != 2:
            raise ValueError(f"it takes two inputs, received {len(spec.shapes)}")
        self.axes, self.epsilon = spec.axes, EPSILON[spec.version]
        given = spec.integers("axes")
        pair = given * 2 if len(given) == 1 else given
        ranks = [len(shape) for shape in spec.shapes]
        if len(pair) != 2 or any(not -n < axis < n or axis == 0 for axis, n in zip(pair, ranks, strict=True)):
            raise ValueError(f"axes must be one axis or two, other than 0, of inputs {spec.shapes}, received {given}")
        self.along = [axis % n for axis, n in zip(pair, ranks, strict=True)]
        self.normalize = spec.flag("normalize", False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Sum over the two axes; a sum over all but the batch keeps a dim of 1."""
        x, y = self.axes.to_keras(x), self.axes.to_keras(y)
        i, j = self.along
        if self.normalize:
            x, y = unit(x, (i,), self.epsilon), unit(y, (j,), self.epsilon)
        x, y = x.movedim(i, -1), y.movedim(j, 1)
        left, right = x.shape[1:-1], y.shape[2:]
        z = torch.bmm(x.flatten(1, -2) if left else x.unsqueeze(1), y.flatten(2) if right else y.unsqueeze(2))
        z = z.reshape(x.shape[0], *left, *right)
        return self.axes.from_keras(z if z.ndim > 1 else z.unsqueeze(1))

    def output_masks(self, masks: Masks, *inputs: Tensor) -> None:
        return None
