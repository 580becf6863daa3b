"""Every penalty and constraint against its NumPy formula in float64, at every scale and in every dtype."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from comparing import Compare, with_compare
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

import regtorch as rt
from cases import CONSTRAINTS, PENALTIES, Array, ConstraintCase, PenaltyCase, every
from strategies import two_dims, weights

# Powers of ten over which squares and their sums stay finite; sums of halves are taken in float32.
DECADES = {torch.float64: 30, torch.float32: 15, torch.bfloat16: 15, torch.float16: 3}
WIDE_EPS = {dtype: torch.finfo(torch.promote_types(dtype, torch.float32)).eps for dtype in DECADES}


def every_dtype(what: str, whom: str) -> pytest.MarkDecorator:
    """Run a test for each dtype, with a row of its own in the table."""
    names = {dtype: str(dtype).removeprefix("torch.") for dtype in DECADES}
    return pytest.mark.parametrize(
        "dtype",
        [pytest.param(d, id=name, marks=pytest.mark.parity(f"{what}, {name}", whom)) for d, name in names.items()],
    )


@st.composite
def scaled(draw: st.DrawFn, dtype: torch.dtype) -> Tensor:
    """A weight whose units may differ by many powers of ten."""
    w = draw(weights(decades=0))
    power = st.integers(-DECADES[dtype], DECADES[dtype])
    if w.ndim < 2:
        return (w * 10.0 ** draw(power)).to(dtype)
    powers = torch.tensor([draw(power) for _ in range(w.shape[0])], dtype=torch.float64)
    return (w * (10.0**powers).view(-1, *[1] * (w.ndim - 1))).to(dtype)


def exact(w: Tensor) -> Array:
    return two_dims(w.detach()).double().numpy()


def by_directions(case: PenaltyCase) -> bool:
    """A mean of |cos|: it rounds relative to the strength, however small the mean."""
    return isinstance(case.rule, rt.Orthogonal)


AT_EVERY_SCALE = {name: case for name, case in PENALTIES.items() if case.every_scale}


@pytest.mark.sampled(14)
@every(AT_EVERY_SCALE)
@every_dtype("penalties, values", "NumPy")
@with_compare
@given(data=st.data())
def test_values(case: PenaltyCase, dtype: torch.dtype, data: st.DataObject, compare: Compare):
    w = data.draw(scaled(dtype))
    floor = 0.3 if by_directions(case) else 0.0
    compare([case.rule(w), floor], [case.formula(exact(w)), floor], within=32 * WIDE_EPS[dtype])


@pytest.mark.parity("penalties, gradients", "central differences in NumPy")
@every(AT_EVERY_SCALE)
@with_compare
@given(w=weights(decades=0), scale=st.sampled_from([1e-3, 1.0, 1e3]))
def test_gradients(case: PenaltyCase, w: Tensor, scale: float, compare: Compare):
    w = (w + 0.1 * w.sign()) * scale  # no kink within a step, but exact zeros
    flat = exact(w)
    if by_directions(case):  # it has a kink where two directions are orthogonal
        v = flat.T if "columns" in repr(case.rule) else flat
        cosines = np.abs(v @ v.T) / scale**2
        assume(cosines[cosines > 0].min(initial=1.0) > 1e-3)
    step = 1e-5 * scale
    slopes = np.empty_like(flat)
    for i in np.ndindex(flat.shape):
        up, down = flat.copy(), flat.copy()
        up[i] += step
        down[i] -= step
        slopes[i] = (case.formula(up) - case.formula(down)) / (2 * step)
    value = case.formula(flat)  # beside it, slopes that cancel to zero have a measure
    leaf = w.clone().requires_grad_()
    case.rule(leaf).backward()
    for gradient in (case.rule.grad(w), leaf.grad):
        assert gradient is not None
        compare(np.append(exact(gradient) * scale, value), np.append(slopes * scale, value), within=1e-8)


@pytest.mark.sampled(14)
@every(AT_EVERY_SCALE)
@every_dtype("penalties, closed-form gradients", "autograd")
@with_compare
@given(data=st.data())
def test_gradients_at_every_scale(case: PenaltyCase, dtype: torch.dtype, data: st.DataObject, compare: Compare):
    w = data.draw(weights(dtype=dtype, decades=DECADES[dtype]))
    leaf = w.clone().requires_grad_()
    case.rule(leaf).backward()
    assert leaf.grad is not None
    norms = np.linalg.norm(exact(w), axis=0 if "columns" in repr(case.rule) else 1)
    # Terms of this size cancel in the gradient of a cosine.
    floor = 0.3 / norms[norms > 0].min(initial=np.inf) if by_directions(case) else 0.0
    ours, theirs = (np.append(exact(g), floor) for g in (case.rule.grad(w), leaf.grad))
    compare(ours, theirs, within=max(32 * WIDE_EPS[dtype], torch.finfo(dtype).eps))


@pytest.mark.sampled(12)
@every({name: case for name, case in CONSTRAINTS.items() if case.every_scale})
@every_dtype("constraints", "NumPy")
@with_compare
@given(data=st.data())
def test_constraints(case: ConstraintCase, dtype: torch.dtype, data: st.DataObject, compare: Compare):
    w = data.draw(scaled(dtype))
    for ours, theirs in zip(exact(case.rule(w)), case.formula(exact(w)), strict=True):
        compare(ours, theirs, within=max(16 * WIDE_EPS[dtype], torch.finfo(dtype).eps))
