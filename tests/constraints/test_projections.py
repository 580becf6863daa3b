"""Constraints that are not told by a norm: bounds, sums, singular values."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import regtorch as rt
from strategies import any_magnitude, two_dims, weights
from ways import close

SUMS = [rt.L1Ball(1.5), rt.Simplex(1.5), rt.L1Ball(1e-3), rt.Simplex(1e4), rt.L1Ball(0.0), rt.Simplex(0.0)]
RULES = [*SUMS, rt.Box(-0.5, 0.1), rt.Box(None, -0.1), rt.SpectralMax(1.5), rt.SpectralMax(1e-3)]
EXACT = [torch.float32, torch.float64]
HALF = [torch.float16, torch.bfloat16]


def matrices(dtype: torch.dtype) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(1, 1), (3, 1), (1, 7), (20, 30), (30, 20), (40, 300), (3, 5000)]
    drawn = [torch.randn(shape, generator=generator) for shape in shapes]
    equal = [torch.full((4, 3000), 0.7), torch.full((2, 5), -3e-5), torch.eye(20) * 7]
    return [(w * scale).to(dtype) for w in (*drawn, *equal) for scale in (1.0, 1e3, 1e-3)]


@pytest.mark.parametrize("dtype", EXACT + HALF)
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_second_application_changes_no_bit(rule: rt.Constraint, dtype: torch.dtype):
    for w in matrices(dtype):
        once = rule(w)
        assert once.isfinite().all()
        assert torch.equal(rule(once), once)
        assert rule.violation(once) == 0
        assert torch.equal(rule.project_(w.clone()), once)


@pytest.mark.parametrize("dtype", EXACT + HALF)
@given(data=st.data())
def test_inside_nothing_changes_to_the_bit(dtype: torch.dtype, data: st.DataObject):
    w = data.draw(weights(shapes=[(3, 5), (6,), (4, 3, 3)], decades=3)).to(dtype)
    v = two_dims(w).double()
    largest = float(torch.linalg.matrix_norm(v, 2)) if v.ndim == 2 else 0.0
    slack = 1 + data.draw(st.sampled_from([0.01, 1.0]))
    for rule in (
        rt.Box(float(v.min()), float(v.max())),
        rt.L1Ball(float(v.abs().sum(1).max()) * slack),
        rt.SpectralMax(largest * slack),
    ):
        assert torch.equal(rule(w), w)
        assert rule.violation(w) == 0
    shares = v.abs() + v.abs().max() + 1
    shares = (shares / shares.sum(1, keepdim=True) * 2).view(w.shape).to(dtype)
    assert torch.equal(rt.Simplex(2.0)(shares), shares)


@pytest.mark.parametrize("rule", SUMS, ids=str)
@given(w=any_magnitude(EXACT + HALF))
def test_sums_at_every_magnitude(rule: rt.L1Ball | rt.Simplex, w: Tensor):
    once = rule(w)
    assert once.isfinite().all()
    assert torch.equal(rule(once), once)
    total = rule.radius if isinstance(rule, rt.L1Ball) else rule.total
    info, width = torch.finfo(w.dtype), two_dims(w).shape[1]
    of_sum = 16 * torch.finfo(torch.float64).eps  # of the sum below
    rounding = total * (info.eps + of_sum) + width * info.smallest_normal * info.eps
    sums = two_dims(once).double().abs().sum(1)
    if isinstance(rule, rt.L1Ball):
        assert (sums <= total + rounding).all()
        assert (two_dims(once).sign() * two_dims(w).sign() >= 0).all()
    elif total <= info.max:
        assert (once >= 0).all()
        assert ((sums - total).abs() <= rounding).all()


@pytest.mark.parametrize("rule", [rt.L1Ball(0.7), rt.Simplex(0.7)], ids=str)
@given(w=weights(shapes=[(4, 3, 5)], decades=1), dim=st.sampled_from([0, 1, -1, (0, 2), [1, 2], (2, 1, 0)]))
def test_dim_names_the_dims_of_a_unit(rule: rt.Constraint, w: Tensor, dim: int | tuple[int, ...] | list[int]):
    dims = [d % 3 for d in ([dim] if isinstance(dim, int) else dim)]
    kept = [d for d in range(3) if d not in dims]

    def units_first(v: Tensor) -> Tensor:
        return v.permute(*kept, *dims).reshape(-1, math.prod(w.shape[d] for d in dims))

    of_dim = type(rule)(0.7, dim=dim)
    close(units_first(of_dim(w)), rule(units_first(w)))
    close(of_dim.violation(w), rule.violation(units_first(w)))


@given(w=weights(shapes=[(3, 5), (2, 1)], decades=2))
def test_violation_is_the_distance(w: Tensor):
    for rule in (rt.L1Ball(0.5), rt.Simplex(0.5)):
        close(rule.violation(w), (w - rule(w)).norm(dim=1).max())
    close(rt.Box(-0.5, 0.25).violation(w), torch.maximum(w - 0.25, -0.5 - w).clamp(min=0).max())
    close(rt.SpectralMax(0.5).violation(w), (torch.linalg.matrix_norm(w, 2) - 0.5).clamp(min=0), rtol=1e-7, atol=1e-12)


def test_the_spectral_norm_of_convolutions_is_that_of_their_rows():
    torch.manual_seed(0)
    conv, up = nn.Conv2d(3, 4, 3).double(), nn.ConvTranspose2d(4, 6, 3, groups=2).double()
    for net in (conv, up):
        bound = rt.SpectralMax(0.2).on(net)
        units = bound.units(bound.selection.chosen[0], net.weight.detach()).flatten(1)
        left, values, right = torch.linalg.svd(units, full_matrices=False)
        assert values[0] > 0.2
        bound.project_()
        now = bound.units(bound.selection.chosen[0], net.weight.detach()).flatten(1)
        close(now, left @ values.clamp(max=0.2).diag() @ right)
        assert bound.violation() < 1e-14


@pytest.mark.parametrize("shape", [(), (0,), (1,), (0, 3), (3, 0), (2, 0, 3), (1, 1, 1, 1)])
@pytest.mark.parametrize("dtype", EXACT + HALF)
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_odd_shapes(rule: rt.Constraint, dtype: torch.dtype, shape: tuple[int, ...]):
    w = torch.ones(shape, dtype=dtype)
    assert rule(w).shape == rule.project_(w.clone()).shape == w.shape
    assert rule(w).dtype == dtype
    assert rule.violation(rule(w)) <= 1e-2
    assert rule.violation(w).isfinite()


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_what_is_not_finite_stays_seen(value: float):
    w = torch.tensor([[value, 1.0], [3.0, 4.0]])
    for rule in (rt.L1Ball(1.0), rt.Simplex(1.0)):
        assert rule(w)[0].isnan().any()
        close(rule(w)[1], rule(w[1:])[0])
    assert rt.Box(0.0, 2.0)(w)[0, 0].isnan() == math.isnan(value)
    assert not rt.Box(0.0, 2.0).violation(w).isfinite()


def test_bounds_that_may_be_left_out():
    w = torch.tensor([-2.0, 0.0, 3.0])
    assert rt.Box(None, 1.0)(w).tolist() == [-2.0, 0.0, 1.0]
    assert rt.Box(-math.inf, 1.0) == rt.Box(None, 1.0)
    assert torch.equal(rt.Box(None, math.inf)(w), w)
    assert rt.Box(None, None)(w) is not w
    assert torch.equal(rt.Box(-1e300, 1e300)(w.half()), w.half())


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: rt.Box(1.0, 0.0), ValueError, "Box: low must not exceed high, received 1.0 and 0.0"),
        (lambda: rt.Box(math.inf, None), ValueError, "Box: low must be a finite number, received inf; give None"),
        (lambda: rt.Box(0.0, math.nan), ValueError, "Box: high must be a finite number, received nan"),
        (lambda: rt.Box("0"), TypeError, "Box: low must be a finite number, received '0' of type str"),
        (lambda: rt.Box(1e5, None)(torch.ones(2).half()), ValueError, "no number of torch.float16 is in the set"),
        (lambda: rt.L1Ball(-1), ValueError, "L1Ball: radius must be a finite number of at least 0, received -1; give"),
        (lambda: rt.L1Ball(1, dim="0"), TypeError, "L1Ball: dim must be None, an int or several ints"),
        (lambda: rt.L1Ball(1, dim=2)(torch.ones(2, 2)), ValueError, "L1Ball: dim must name dims of the weight"),
        (
            lambda: rt.Simplex(math.inf),
            ValueError,
            "Simplex: total must be a finite number of at least 0, received",
        ),
        (lambda: rt.SpectralMax(None), TypeError, "SpectralMax: max_value must be a finite number of at least 0"),
        (lambda: rt.SpectralMax()(torch.ones(2, 2).long()), TypeError, "SpectralMax: w must hold real"),
        (lambda: rt.Simplex()(torch.ones(2, 2).long()), TypeError, "Simplex: w must hold real"),
    ],
)
def test_bad_input(make: object, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("rule", [rt.L1Ball(0.8), rt.Simplex(0.8), rt.SpectralMax(0.8), rt.Box(-0.3, 0.4)], ids=str)
def test_its_derivative_is_that_of_differences(rule: rt.Constraint):
    w = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(rule, (w,))


@pytest.mark.parametrize("rule", [rt.L1Ball(0.8), rt.Simplex(0.8), rt.SpectralMax(0.8), rt.Box(-0.3, 0.4)], ids=str)
def test_checked_as_a_rule_of_ones_own(rule: rt.Constraint):
    rt.testing.check_constraint(rule)


@pytest.mark.parametrize("dtype", EXACT + HALF)
def test_what_lies_outside_comes_in_however_small_the_bound(dtype: torch.dtype):
    w = torch.full((2, 2), 0.01, dtype=dtype)
    rule = rt.SpectralMax(1e-3)
    assert rule.violation(w) > 0.018
    assert float(torch.linalg.matrix_norm(rule(w).double(), 2)) < 1.01e-3
    with pytest.raises(ValueError, match="received -1; give the largest singular value allowed, such as 1$"):
        rt.SpectralMax(-1)


def test_a_masked_simplex_knows_its_part_alone():
    rule = rt.masked(rt.Simplex(1.0), torch.tensor([True, True, False]))
    close(rule(torch.tensor([2.0, 1.0, 5.0])), torch.tensor([1.0, 0.0, 5.0]))
    assert rule.violation(torch.tensor([0.25, 0.75, 5.0])) == 0
