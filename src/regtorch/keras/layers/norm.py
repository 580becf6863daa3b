"""Norm layers."""

from __future__ import annotations

from torch import Tensor, nn

from regtorch.keras.batch_norm import BatchNorm
from regtorch.keras.spec import Spec

__all__ = ["LayerNormalization", "batch_normalization"]


def batch_normalization(spec: Spec) -> BatchNorm:
    """Keras's BatchNormalization."""
    spec.get("renorm_momentum")  # without renorm it says nothing
    axis = spec.get("axis", -1)
    if isinstance(axis, list | tuple) and len(axis) == 1:
        axis = axis[0]
    if not isinstance(axis, int):
        raise ValueError(f"axis must be one whole number, received {axis!r}")
    dim = spec.axes.dim(axis, len(spec.shape))
    norm = BatchNorm(
        spec.shape[dim],
        eps=spec.get("epsilon", 1e-3),
        momentum=1.0 - spec.get("momentum", 0.99),
        dim=dim,
        scale=spec.get("scale", True),
        center=spec.get("center", True),
        trainable=spec.config.get("trainable", True),
        version=spec.version,
    )
    norm.keras_order = True  # its inputs are in Keras's order already
    return norm


class LayerNormalization(nn.LayerNorm):
    """Keras's LayerNormalization over its last axes."""

    def __init__(self, spec: Spec) -> None:
        self.axes = spec.axes
        ndim = len(spec.shape)
        keras = spec.keras_shape
        axis = spec.get("axis", -1)
        axes = sorted(a % ndim for a in ([axis] if isinstance(axis, int) else axis))
        if axes != list(range(ndim - len(axes), ndim)) or 0 in axes:
            raise ValueError(f"axis={axis!r} is not supported; supported are the last axes, such as -1")
        super().__init__([keras[a] for a in axes], eps=spec.get("epsilon", 1e-3))
        if not spec.get("scale", True):
            self.register_parameter("weight", None)
        if not spec.get("center", True):
            self.register_parameter("bias", None)

    def forward(self, input: Tensor) -> Tensor:
        """Normalise."""
        return self.axes.from_keras(super().forward(self.axes.to_keras(input)))
