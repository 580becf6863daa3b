from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import regtorch as rt
from cases import CONSTRAINTS, ConstraintCase, every
from regtorch.constraints import NormConstraint
from strategies import two_dims, weights

close = torch.testing.assert_close


@every(CONSTRAINTS)
@given(w=weights())
def test_lands_inside_and_stays(case: ConstraintCase, w: Tensor):
    once = case.rule(w)
    assert case.inside(two_dims(once).numpy())
    if case.idempotent:
        assert torch.equal(case.rule(once), once)


@every(CONSTRAINTS)
@given(w=weights())
def test_identity_inside(case: ConstraintCase, w: Tensor):
    if case.idempotent and case.inside(two_dims(w).numpy()):
        close(case.rule(w), w, rtol=1e-12, atol=0)


@pytest.mark.parametrize("rule", [rt.MaxNorm(2.0), rt.MinMaxNorm(0.5, 2.0), rt.MinMaxNorm(0.5, 2.0, rate=0.3)])
def test_well_inside_nothing_changes_to_the_bit(rule: rt.Constraint):
    w = torch.nn.functional.normalize(torch.randn(200, 30, generator=torch.Generator().manual_seed(0)))
    for _ in range(100):
        assert torch.equal(rule(w), w)


@every(CONSTRAINTS)
@given(w=weights())
def test_pure_and_in_place_agree(case: ConstraintCase, w: Tensor):
    before = w.clone()
    pure = case.rule(w)
    assert torch.equal(w, before)
    assert case.rule.project_(w) is w
    assert torch.equal(w, pure)


@every({name: case for name, case in CONSTRAINTS.items() if case.keeps_zero})
@given(w=weights())
def test_zero_rows_stay_zero(case: ConstraintCase, w: Tensor):
    zeros = (two_dims(w) == 0).all(1)
    assert (two_dims(case.rule(w))[zeros] == 0).all()


@given(w=weights(shapes=[(3, 5), (4, 2, 3)]))
def test_violation_is_the_distance(w: Tensor):
    norms = two_dims(w).norm(dim=1)
    close(rt.MaxNorm(1.5).violation(w), (norms - 1.5).clamp(min=0).max())
    close(rt.UnitNorm().violation(w), (norms - 1).abs().max())
    close(rt.NonNeg().violation(w), (-w).clamp(min=0).max())


@every(CONSTRAINTS)
@given(w=weights())
def test_no_violation_remains(case: ConstraintCase, w: Tensor):
    if case.idempotent and (two_dims(w) != 0).any(1).all():
        assert case.rule.violation(case.rule(w)) <= 1e-12


@every(CONSTRAINTS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(case: ConstraintCase, dtype: torch.dtype):
    w = torch.randn(5, 70_000, generator=torch.Generator().manual_seed(0)).to(dtype)  # norm² is above 65,504
    assert case.rule(w).dtype == dtype
    close(case.rule(w), case.rule(w.float()).to(dtype))


@every(CONSTRAINTS)
def test_gradient_is_finite_at_zero_rows(case: ConstraintCase):
    w = torch.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
    case.rule(w).sum().backward()
    assert w.grad is not None
    assert w.grad.isfinite().all()


@given(w=weights(shapes=[(4, 3, 3, 3)]), dim=st.sampled_from([0, 1, -1, (1, 2, 3), (0, 2), [2, 3]]))
def test_dim_names_the_reduced_dims(w: Tensor, dim: int | tuple[int, ...]):
    norm = torch.linalg.vector_norm(rt.MaxNorm(1.0, dim=dim)(w), dim=dim)
    assert (norm <= 1 + 1e-12).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("rule", [rt.MaxNorm(1.5), rt.UnitNorm(), rt.MinMaxNorm(0.5, 1.5)])
def test_a_second_application_changes_no_bit(rule: rt.Constraint, dtype: torch.dtype):
    for width in (1, 2, 5, 1000):
        w = torch.randn(500, width, generator=torch.Generator().manual_seed(width)).to(dtype)
        once = rule(w)
        assert torch.equal(rule(once), once)


def test_a_row_whose_norm_overflows_comes_into_the_set():
    w = torch.tensor([[1e25, 1e25], [3.0, 4.0]])
    assert rt.MaxNorm(1.0).violation(rt.MaxNorm(1.0)(w)) <= 1e-6


def test_keras_epsilon_shrinks_also_inside():
    w = torch.tensor([[0.6, 0.8]], dtype=torch.float64)
    close(rt.MaxNorm(2.0, epsilon=1e-7)(w), w * (1 / (1 + 1e-7)), rtol=1e-15, atol=0)
    close(rt.UnitNorm(epsilon=1e-7)(3 * w), 3 * w / (3 + 1e-7), rtol=1e-15, atol=0)


def test_max_norm_agrees_with_renorm():
    w = torch.randn(6, 3, 2, 2, dtype=torch.float64)
    close(rt.MaxNorm(1.0)(w), torch.renorm(w, p=2, dim=0, maxnorm=1.0), rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: rt.MaxNorm(-1), ValueError, "at least 0, received -1; give the largest norm allowed, such as 3"),
        (lambda: rt.MaxNorm("2"), TypeError, "MaxNorm: max_value must be a finite number of at least 0, received '2'"),
        (lambda: rt.MaxNorm(1.0, dim="0"), TypeError, "MaxNorm: dim must be None, an int or several ints"),
        (lambda: rt.MaxNorm(1.0, dim=()), TypeError, "MaxNorm: dim must be None, an int or several ints"),
        (lambda: rt.MaxNorm(1.0, epsilon=float("nan")), ValueError, "MaxNorm: epsilon must be"),
        (lambda: rt.MinMaxNorm(2.0, 1.0), ValueError, "MinMaxNorm: min_value must not exceed max_value"),
        (lambda: rt.Box("x"), TypeError, "^Box: low must be a finite number, received 'x' of type str"),
        (lambda: rt.MinMaxNorm(-1.0), ValueError, "received -1.0; norms are not negative$"),
        (lambda: rt.MinMaxNorm(0.0, 1.0, rate=1.5), ValueError, "MinMaxNorm: rate must be a number from 0 to 1"),
        (lambda: rt.MaxNorm(1.0, dim=True), TypeError, "MaxNorm: dim must be None, an int or several ints"),
        (lambda: rt.MaxNorm(1.0, dim=4)(torch.ones(2, 2)), ValueError, "dim must name dims of the weight, each once"),
        (lambda: rt.MaxNorm(1.0, dim=(0, -2))(torch.ones(2, 2)), ValueError, "dim must name dims of the weight"),
        (lambda: rt.NonNeg()(torch.ones(2, dtype=torch.int64)), TypeError, "NonNeg: w must hold real floating-point"),
    ],
)
def test_bad_input(make: Callable[[], object], error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        make()


def test_repr_shows_what_was_given():
    assert repr(rt.MaxNorm(3.0)) == "MaxNorm(max_value=3.0)"
    assert repr(rt.MaxNorm(3.0, dim=[1, 2])) == "MaxNorm(max_value=3.0, dim=(1, 2))"
    assert issubclass(rt.MaxNorm, NormConstraint)


def test_a_set_of_one_norm_or_one_number():
    w = torch.tensor([[3.0, 4.0], [0.3, 0.4]])
    assert torch.equal(rt.MinMaxNorm(1.0, 1.0)(w), rt.UnitNorm()(w))
    close(torch.linalg.vector_norm(rt.MinMaxNorm(2.0, 3.0)(w), dim=1), torch.tensor([3.0, 2.0]))
    assert (rt.Box(0.5, 0.5)(w) == 0.5).all()


@pytest.mark.parametrize("epsilon", [0.0, 0.5])
def test_beside_a_row_whose_norm_overflows_the_others_are_as_without_it(epsilon: float):
    rule = rt.MaxNorm(1.0, epsilon=epsilon)
    w = torch.randn(50, 7, generator=torch.Generator().manual_seed(0)) * 0.1  # inside the set
    far = torch.full((1, 7), 1e25)
    close(rule(torch.cat([w, far]))[:-1], rule(w), rtol=1e-6 if epsilon else 0, atol=0)
