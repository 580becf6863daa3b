"""The calls of `keras.ops` and, in Keras 2, of TensorFlow by class name."""

from __future__ import annotations

from collections.abc import Mapping

from regtorch.keras.layers.operations.arrays import ARRAYS
from regtorch.keras.layers.operations.elementwise import ELEMENTWISE
from regtorch.keras.layers.operations.images import IMAGES
from regtorch.keras.layers.operations.linear_algebra import LINEAR_ALGEBRA
from regtorch.keras.layers.operations.networks import NETWORKS
from regtorch.keras.layers.operations.operation import Make
from regtorch.keras.layers.operations.reductions import REDUCTIONS
from regtorch.keras.layers.operations.shapes import SHAPES
from regtorch.keras.layers.operations.tensorflow import TENSORFLOW

__all__ = ["OPERATIONS"]

OPERATIONS: Mapping[str, Make] = {
    **ELEMENTWISE,
    **REDUCTIONS,
    **SHAPES,
    **ARRAYS,
    **LINEAR_ALGEBRA,
    **IMAGES,
    **NETWORKS,
    **TENSORFLOW,
}
