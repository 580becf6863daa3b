"""The calls of `keras.ops` that compute the same as a layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn

from regtorch.keras.layers import activation, merge
from regtorch.keras.spec import Spec

__all__ = ["OPERATIONS"]


class Concatenate(merge.Concatenate):
    """keras.ops.concatenate, along the batch by default."""

    axis = 0


def _with_two_inputs(layer: Callable[[Spec], nn.Module]) -> Callable[[Spec], nn.Module]:
    def make(spec: Spec) -> nn.Module:
        if len(spec.shapes) != 2:
            raise ValueError(f"it takes 2 inputs, received {len(spec.shapes)}")
        return layer(spec)

    return make


_BINARY = (merge.Add, merge.Subtract, merge.Multiply, merge.Maximum, merge.Minimum)

OPERATIONS: Mapping[str, Callable[[Spec], nn.Module]] = {
    **{kind.__name__: _with_two_inputs(kind) for kind in _BINARY},
    "Concatenate": Concatenate,
    "Softmax": activation.softmax,
}
