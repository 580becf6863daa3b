from __future__ import annotations

import dataclasses
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import regtorch as rt
from cases import PENALTIES, PenaltyCase, every
from strategies import weights
from thinned import thinned

close = torch.testing.assert_close


@every(PENALTIES)
@given(w=weights())
def test_never_negative_even_in_sign_and_zero_at_zero(case: PenaltyCase, w: Tensor):
    assert case.rule(w) >= 0
    close(case.rule(w), case.rule(-w))
    if not isinstance(case.rule, rt.SoftOrthogonal):  # which wants norms of 1
        assert case.rule(torch.zeros_like(w)) == 0


@every(PENALTIES)
@given(w=weights(), strength=st.floats(0, 100))
def test_linear_in_its_strength(case: PenaltyCase, w: Tensor, strength: float):
    close(case.of_strength(strength)(w), strength * case.of_strength(1.0)(w), rtol=1e-12, atol=1e-300)


@every(PENALTIES)
def test_strength_zero_is_exactly_a_no_op_even_at_infinity(case: PenaltyCase):
    w = torch.tensor([[torch.inf, 1.0], [2.0, 3.0]], requires_grad=True)
    value = case.of_strength(0.0)(w)
    value.backward()
    assert value == 0
    assert w.grad is not None
    assert (w.grad == 0).all()
    assert not case.of_strength(0.0).active


@every(PENALTIES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_sums_in_float32(case: PenaltyCase, dtype: torch.dtype):
    w = (torch.randn(40, 3000, generator=torch.Generator().manual_seed(0))).to(dtype)  # Σw² is above 65,504
    value = case.rule(w)
    assert value.dtype == torch.float32
    close(value, case.rule(w.float()), rtol=1e-6, atol=0)
    assert case.rule.grad(w).dtype == dtype
    close(case.rule.grad(w), case.rule.grad(w.float()).to(dtype))


@pytest.mark.sampled(9)
@every(PENALTIES)
@pytest.mark.parametrize(
    ("shape", "dtype"),
    thinned(
        product([(500, 2000), (2000, 500)], [torch.float16, torch.bfloat16]),
        lambda shape, dtype: (shape[0] == 500) == (dtype == torch.float16),
    ),
)
def test_a_million_half_precision_weights(case: PenaltyCase, dtype: torch.dtype, shape: tuple[int, int]):
    w = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    close(case.rule(w).double(), case.rule(w.double()).double(), rtol=1e-4, atol=0)


@every(PENALTIES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_does_not_overflow(case: PenaltyCase, dtype: torch.dtype):
    largest = 6e4 if dtype == torch.float16 else 7e4  # float16 ends at 65,504, and one square is above that already
    w = torch.full((8, 16), largest, dtype=dtype)
    w[0, 0] = -3.0
    value, expected = case.rule(w), case.rule(w.double())
    assert value.isfinite()
    close(value.double(), expected.double(), rtol=1e-3, atol=1e-6)


def test_tiny_half_precision_weights_do_not_vanish():
    w = torch.full((1_000_000,), 1e-4, dtype=torch.float16)  # w² underflows in half precision
    assert rt.L2(1.0)(w).item() == pytest.approx(0.01, rel=1e-2)


def test_orthogonal_keeps_float32_under_autocast():
    w = torch.randn(30, 50, generator=torch.Generator().manual_seed(0))
    plain = rt.Orthogonal(1.0)(w)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert rt.Orthogonal(1.0)(w) == plain
        close(rt.Orthogonal(1.0).grad(w), rt.Orthogonal(1.0).grad(w.double()).float(), rtol=1e-4, atol=1e-7)


def test_l1l2_holds_l1_and_l2():
    w = torch.randn(3, 4, dtype=torch.float64)
    close(rt.L1L2(l1=0.2)(w), rt.L1(0.2)(w))
    close(rt.L1L2(l2=0.2)(w), rt.L2(0.2)(w))


@every(PENALTIES)
@given(w=weights(), step=st.floats(1e-3, 10), per_coordinate=st.booleans(), data=st.data())
def test_proximal_step_minimises_its_objective(
    case: PenaltyCase, w: Tensor, step: float, per_coordinate: bool, data: st.DataObject
):
    if isinstance(case.rule, rt.NuclearNorm):  # one step size for a weight: tested against thresholding by itself
        per_coordinate = False
    elif not case.proximal:
        with pytest.raises(TypeError, match="has no proximal step in closed form"):
            case.rule.prox(w, step)
        return
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**31)))
    size: float | Tensor = step
    if per_coordinate:
        size = step * 10 ** torch.empty_like(w).uniform_(-3, 3, generator=generator)
    z = case.rule.prox(w, size)

    def objective(candidate: Tensor) -> Tensor:
        return case.rule(candidate) + ((candidate - w).square() / (2 * size)).sum()

    best = objective(z)
    for _ in range(5):
        move = torch.randn(w.shape, generator=generator, dtype=torch.float64)
        for candidate in (w, torch.zeros_like(w), z + 1e-4 * w.abs().max() * move, z * (1 + 1e-3 * move)):
            assert objective(candidate) >= best * (1 - 1e-12) - 1e-300


def test_group_lasso_proximal_step_zeroes_whole_units():
    w = torch.tensor([[3.0, 4.0], [0.1, 0.1]], dtype=torch.float64)
    for step in (1.0, torch.ones_like(w)):
        z = rt.GroupLasso(1.0).prox(w, step)
        assert (z[1] == 0).all()
        close(z[0], w[0] * (1 - 2**0.5 / 5))


@pytest.mark.parametrize("value", [-1, -1e-30, float("nan"), float("inf"), -float("inf")])
@every(PENALTIES)
def test_a_strength_outside_its_range_is_a_value_error(case: PenaltyCase, value: float):
    with pytest.raises(ValueError, match=r"must be a finite number of at least 0, received .*; 0 switches it off"):
        case.of_strength(value)


@pytest.mark.parametrize("value", ["0.01", None, True, [0.1], 1j])
@every(PENALTIES)
def test_a_strength_that_is_no_number_is_a_type_error(case: PenaltyCase, value: object):
    with pytest.raises(TypeError, match=r"must be a finite number of at least 0, received .* of type \w+"):
        case.of_strength(value)


def test_the_whole_message():
    with pytest.raises(ValueError, match="L2") as caught:
        rt.L2(-1.0)
    assert str(caught.value) == "L2: lam must be a finite number of at least 0, received -1.0; 0 switches it off"


def test_numpy_and_tensor_scalars_are_numbers():
    import numpy as np

    assert rt.L2(np.float32(0.5)).lam == 0.5
    assert rt.L2(torch.tensor(0.5)).lam == 0.5
    assert rt.L2(2).lam == 2.0
    with pytest.raises(ValueError, match="must be a finite number"):
        rt.L2(10**400)


@every(PENALTIES)
@pytest.mark.parametrize("w", [torch.ones(2, dtype=torch.int64), torch.ones(2, dtype=torch.complex64), [1.0]])
def test_what_holds_no_real_numbers_is_refused(case: PenaltyCase, w: Tensor):
    with pytest.raises(TypeError, match=r"^\w+: w must"):
        case.rule(w)


def test_orthogonal_names_its_modes():
    with pytest.raises(ValueError, match="mode must be 'rows' or 'columns', received 'row'"):
        rt.Orthogonal(0.1, mode="row")


def test_rules_are_frozen_compare_and_print():
    assert rt.L2(0.1) == rt.L2(0.1) != rt.L2(0.2)
    assert repr(rt.L2(0.1, select="bias")) == "L2(lam=0.1, select='bias')"
    assert repr(rt.Orthogonal(0.1)) == "Orthogonal(lam=0.1, mode='rows')"
    with pytest.raises(dataclasses.FrozenInstanceError):
        rt.L2(0.1).lam = 1.0
    with pytest.raises(TypeError, match="select must be a string"):
        rt.L2(0.1, select=3)


@every(PENALTIES)
def test_works_without_weights(case: PenaltyCase):
    for shape in [(0,), (0, 3), (3, 0)]:
        w = torch.zeros(shape)
        assert case.rule(w) == 0
        assert case.rule.grad(w).shape == w.shape
        if case.proximal:
            assert case.rule.prox(w, torch.ones_like(w)).shape == w.shape


@every(PENALTIES)
@given(w=weights())
def test_it_is_strengths_times_penalties_of_strength_one(case: PenaltyCase, w: Tensor):
    ones = case.rule.of_strength_one()
    assert all(set(one.strengths.values()) <= {0.0, 1.0} for one, _ in ones)
    close(sum(strength * one(w) for one, strength in ones), case.rule(w), rtol=1e-12, atol=0)


def test_what_is_no_strength_times_a_formula_says_so():
    class TwoStrengths(rt.Penalty):
        lam: float = 0.1
        l1: float = 0.1

        def __call__(self, w: Tensor) -> Tensor:
            return self.lam * self.l1 * w.square().sum()

    with pytest.raises(TypeError, match="TwoStrengths is not a strength lam times a formula"):
        TwoStrengths().of_strength_one()


def test_the_weight_decay_with_the_same_gradient():
    w = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for rule in (rt.L2(0.3), rt.L1L2(l2=0.3)):
        assert rule.weight_decay is not None
        close(rule.grad(w), rule.weight_decay * w)
    for rule in (rt.L1L2(0.1, 0.3), rt.L1(0.1), rt.Hoyer(0.1)):
        assert rule.weight_decay is None


@every(PENALTIES)
def test_many_gradients_at_once_are_those_of_each(case: PenaltyCase):
    ws = [torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    into = [torch.ones_like(w).requires_grad_() for w in ws]
    with torch.no_grad():
        case.rule.add_grads_(ws, into, 0.5)
    for w, found in zip(ws, into, strict=True):
        close(found.detach(), 1 + 0.5 * case.rule.grad(w))


def test_what_no_strength_empties_says_so():
    with pytest.raises(TypeError, match="L2 has no strength known to empty a weight; L1, L1L2, ElasticNet"):
        rt.L2(0.1).emptied_by(torch.ones(2, 3))
