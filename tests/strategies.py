"""What Hypothesis draws: weights of every shape a layer has, zeros and zero rows among them."""

from __future__ import annotations

import hypothesis.strategies as st
import torch
from torch import Tensor

SHAPES = [(), (4,), (1,), (3, 5), (1, 6), (5, 1), (4, 3, 3), (3, 2, 3, 3), (2, 3, 1, 2, 2)]


@st.composite
def weights(
    draw: st.DrawFn, shapes: list[tuple[int, ...]] = SHAPES, dtype: torch.dtype = torch.float64, decades: int = 6
) -> Tensor:
    """A weight of some shape and scale, 10 to ± `decades`; now and then with zeros or a zero unit."""
    shape = draw(st.sampled_from(shapes))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    w = torch.randn(shape, generator=generator, dtype=torch.float64) * 10.0 ** draw(st.integers(-decades, decades))
    if draw(st.booleans()):
        w = w * (torch.rand(shape, generator=generator) > 0.3)
    if draw(st.booleans()) and w.ndim >= 2:
        w[draw(st.integers(0, w.shape[0] - 1))] = 0
    return w.to(dtype)


def two_dims(w: Tensor) -> Tensor:
    """The (units, rest) matrix of a units-first weight."""
    return w.reshape(w.shape[0], -1) if w.ndim >= 2 else w.reshape(1, -1)
