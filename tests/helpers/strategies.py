"""What Hypothesis draws: weights of every shape a layer has, zeros and zero rows among them."""

from __future__ import annotations

import math

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


@st.composite
def any_magnitude(draw: st.DrawFn, dtypes: list[torch.dtype], shapes: list[tuple[int, ...]] = SHAPES) -> Tensor:
    """A finite weight whose units have magnitudes from the smallest denormal number to the largest, and zero."""
    dtype, shape = draw(st.sampled_from(dtypes)), draw(st.sampled_from(shapes))
    info = torch.finfo(dtype)
    lowest = int(math.log2(info.smallest_normal)) + int(math.log2(info.eps))
    highest = math.frexp(info.max)[1] - 1
    exponents = draw(
        st.lists(st.integers(lowest, highest) | st.sampled_from([lowest, highest]), min_size=1, max_size=5)
    )
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    w = torch.randn(shape, generator=generator, dtype=torch.float64)
    rows = two_dims(w.clamp(-2, 2))
    units = torch.tensor([2.0 ** exponents[i % len(exponents)] for i in range(len(rows))], dtype=torch.float64)
    if draw(st.booleans()):
        units[draw(st.integers(0, len(units) - 1))] = 0
    return (rows / 2 * units.view(-1, 1)).clamp(-info.max, info.max).reshape(shape).to(dtype)


def unit_lengths(w: Tensor) -> Tensor:
    """The norm of each unit in float64, by Python's `math.hypot`."""
    return torch.tensor([math.hypot(*row) for row in two_dims(w).double().tolist()], dtype=torch.float64)
