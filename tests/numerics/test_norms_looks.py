"""What the norms of units know: a plain weight is read once, and one factor a unit is given only where it is right."""

from __future__ import annotations

import pytest
import torch

import regtorch as rt
from regtorch.numerics.unit_norms import reduced, units

close = torch.testing.assert_close
W = torch.tensor([[3.0, 4.0], [0.6, 0.8]])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_plain_weight_is_not_scaled_and_its_norms_are_known(dtype: torch.dtype):
    found = units(W.to(dtype), (1,))
    assert found.scale is None
    assert found.seen == pytest.approx((1.0, 5.0), rel=1e-2)
    assert found.within(0.9, 5.1)
    assert not found.within(1.1, 5.1)
    assert not found.within(0.9, 4.9)
    tiny = units(W.float() * 1e-30, (1,))
    assert tiny.scale is not None
    assert not tiny.within(0.0, 1.0)  # not looked at


def test_one_factor_a_unit_where_it_is_a_finite_number():
    found = units(W, (1,))
    close(found.factor(2.0, 2.0), torch.tensor([[0.4], [2.0]]))
    close(found.factor(0.0, 0.0), torch.zeros(2, 1))
    small = units(W * 1e-6, (1,))
    assert small.factor(1e38, 1e38) is None  # 1e38 / 1e-6 is beyond float32
    assert units(W * 1e6, (1,)).factor(1e-38, 1e-38) is None
    assert units(W * 1e-30, (1,)).factor(1.0, 1.0) is None
    zero = units(torch.tensor([[3.0, 4.0], [0.0, 0.0]]), (1,))
    close(zero.factor(2.0, 2.0), torch.tensor([[0.4], [2.0]]))  # by which a zero stays zero


def test_dims_may_be_counted_from_the_end_and_weights_hold_numbers():
    w = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(rt.MaxNorm(0.5, dim=-2)(w), rt.MaxNorm(0.5, dim=0)(w))
    assert reduced("x", w, (-2, -1)) == (0, 1)
    with pytest.raises(TypeError, match="^x: w must hold real floating-point numbers"):
        reduced("x", torch.ones(2, dtype=torch.int64), None)
