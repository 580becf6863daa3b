"""Sums of gradients that a compiler leaves where they are."""

from __future__ import annotations

from typing import Any

from torch import Tensor

__all__ = ["plus"]


def plus(g: Tensor, factor: Any, t: Tensor) -> Tensor:
    """A gradient g plus factor · t, written so that inductor does not add t within the product that makes g.

    That would compute and copy all of factor · t first: three passes over a weight in place of none.
    """
    return g - t * -factor
