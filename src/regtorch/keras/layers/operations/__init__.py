"""The calls of `keras.ops` by class name."""

from __future__ import annotations

from collections.abc import Mapping

from regtorch.keras.layers.operations.elementwise import ELEMENTWISE
from regtorch.keras.layers.operations.operation import Make
from regtorch.keras.layers.operations.reductions import REDUCTIONS
from regtorch.keras.layers.operations.shapes import SHAPES

__all__ = ["OPERATIONS"]

OPERATIONS: Mapping[str, Make] = {**ELEMENTWISE, **REDUCTIONS, **SHAPES}
