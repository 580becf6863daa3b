"""Norm layers."""

from __future__ import annotations

from torch import Tensor, nn

from regtorch.keras.batch_norm import BatchNorm
from regtorch.keras.spec import Spec

__all__ = ["LayerNormalization", "batch_normalization"]


def batch_normalization(spec: Spec) -> BatchNorm:
    spec.get("renorm_momentum")  # no effect without renorm
    dim = spec.dim("axis", -1, len(spec.shape))
    norm = BatchNorm(
        spec.shape[dim],
        eps=spec.number("epsilon", 1e-3, 0.0),
        momentum=1.0 - spec.number("momentum", 0.99, 0.0, 1.0),
        dim=dim,
        scale=spec.flag("scale", True),
        center=spec.flag("center", True),
        trainable=spec.flag("trainable", True),
        version=spec.version,
    )
    norm.keras_order = True
    return norm


class LayerNormalization(nn.LayerNorm):
    """Keras's LayerNormalization over its last axes."""

    def __init__(self, spec: Spec) -> None:
        self.axes = spec.axes
        ndim = len(spec.shape)
        keras = spec.keras_shape
        given = spec.integers("axis", -1)
        axes = sorted(a % ndim if -ndim <= a < ndim else -1 for a in given)
        if axes != list(range(ndim - len(axes), ndim)) or 0 in axes:
            raise ValueError(f"axis={given} is not supported; supported are the last axes, such as -1")
        super().__init__([keras[a] for a in axes], eps=spec.number("epsilon", 1e-3, 0.0))
        if not spec.flag("scale", True):
            self.register_parameter("weight", None)
        if not spec.flag("center", True):
            self.register_parameter("bias", None)

    def forward(self, input: Tensor) -> Tensor:
        return self.axes.from_keras(super().forward(self.axes.to_keras(input)))
