"""Shapes in signatures: `Float[Tensor, "units *fan_in"]` is a `Tensor` to type checkers, with its dims in words.

The notation is jaxtyping's, which is not needed.
"""

from typing import Annotated as Bool
from typing import Annotated as Float

__all__ = ["Bool", "Float"]
