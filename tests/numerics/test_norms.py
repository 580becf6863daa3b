"""Norms at the edges of numbers: denormal, huge, infinite, and very many."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import regtorch as rt
from regtorch.constraints import NormConstraint
from regtorch.numerics.unit_norms import reduced, units
from strategies import any_magnitude, two_dims, unit_lengths

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
IDEMPOTENT = [
    rt.MaxNorm(1.5),
    rt.UnitNorm(),
    rt.MinMaxNorm(0.5, 1.5),
    rt.MaxNorm(0.0),
    rt.MaxNorm(1e-3),
    rt.MaxNorm(1e-6),
    rt.MaxNorm(1e-42),
    rt.MaxNorm(1e300),
    rt.MinMaxNorm(1e-40, 1e-7),
    rt.MinMaxNorm(1e4, 6e4),
]
RULES = [*IDEMPOTENT, rt.MinMaxNorm(0.0, 1.0, rate=0.5), rt.MinMaxNorm(2.0, 1e4, rate=0.9)]
edges = pytest.mark.parametrize("rule", RULES, ids=str)


def rounding(rule: NormConstraint, w: Tensor) -> Tensor:
    """What rounding may do to the norm of a unit of `w`."""
    info, width = torch.finfo(w.dtype), two_dims(w).shape[1]
    # The sum is made in at least float32, whose denormal numbers have a grain of their own.
    grain = math.sqrt(width) * (info.smallest_normal * info.eps + 1.5e-45)
    return unit_lengths(w) * (info.eps + (2**-46 if w.dtype == torch.float64 else 2**-19)) + grain


@edges
@given(w=any_magnitude(DTYPES))
def test_constraints_at_every_magnitude(rule: NormConstraint, w: Tensor):
    before = w.clone()
    once = rule(w)
    assert torch.equal(w, before)
    assert once.isfinite().all()
    assert once.dtype == w.dtype
    assert torch.equal(rule.project_(w.clone()), once)
    old, new = unit_lengths(w), unit_lengths(once)
    assert torch.equal(two_dims(once)[old == 0], two_dims(w)[old == 0])
    low, high = rule.bounds
    inside = (low * (1 + 1e-5) <= old) & (old <= high * (1 - 1e-5))
    assert torch.equal(two_dims(once)[inside], two_dims(w)[inside])
    if rule in IDEMPOTENT:
        assert torch.equal(rule(once), once)
        goal = old.clamp(low, high).where(old > 0, 0.0)
        assert ((new - goal).abs() <= rounding(rule, once)).all()
        live = two_dims(once)[old > 0]
        assert rule.violation(live if w.ndim > 1 else once) <= rounding(rule, once).max() or not live.numel()


@pytest.mark.parametrize("rule", [rt.MaxNorm(1.0), rt.UnitNorm(), rt.MinMaxNorm(0.5, 1.0)], ids=str)
@given(w=any_magnitude(DTYPES))
def test_directions_are_kept(rule: NormConstraint, w: Tensor):
    old, new = two_dims(w).double(), two_dims(rule(w)).double()
    top = old.abs().amax(1, keepdim=True)
    scaled = old / top.where(top > 0, 1.0)
    factor = (new * scaled).sum(1, keepdim=True) / scaled.square().sum(1, keepdim=True).clamp(min=1)
    info = torch.finfo(w.dtype)
    grain = info.smallest_normal * info.eps
    assert ((new - factor * scaled).abs() <= 4 * factor * info.eps + 2 * grain).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(3, 5000), (2, 70_000), (2, 1_000_000)])
@pytest.mark.parametrize("rule", [rt.MaxNorm(1.5), rt.UnitNorm(), rt.MinMaxNorm(0.5, 1.5)], ids=str)
def test_a_second_application_changes_no_bit_of_long_units(
    rule: NormConstraint, shape: tuple[int, int], dtype: torch.dtype
):
    generator = torch.Generator().manual_seed(0)
    for w in (torch.randn(shape, generator=generator), torch.full(shape, 0.7), torch.full(shape, 3e-5)):
        w = w.to(dtype)
        # in rows, in columns, in several dims, and in another order of memory
        for case, dim in ((w, 1), (w.T.contiguous(), 0), (w.T, 0), (w.unflatten(1, (100, -1)), (1, 2))):
            of_dim = type(rule)(**{**vars(rule), "dim": dim})
            once = of_dim(case)
            assert torch.equal(of_dim(once), once)
            assert of_dim.violation(once) <= {torch.float32: 16, torch.float64: 64}[dtype] * torch.finfo(dtype).eps


@given(w=any_magnitude([torch.float32, torch.float64]), shift=st.integers(-40, 40))
def test_powers_of_two_pass_through(w: Tensor, shift: int):
    """Scaling by a power of two is exact, also where it leaves the numbers whose squares are safe."""
    unit = w / w.abs().max().clamp(min=torch.finfo(w.dtype).smallest_normal)
    power = 2.0 ** (shift * (3 if w.dtype == torch.float32 else 24))
    moved = unit * power
    if not torch.equal(moved / power, unit):
        return
    lasso, orthogonal = rt.GroupLasso(1.0), rt.Orthogonal(1.0)
    close = torch.testing.assert_close
    tiny = {"rtol": 1e-5, "atol": 1e-6 * power} if w.dtype == torch.float32 else {"rtol": 1e-13, "atol": 1e-14 * power}
    close(lasso(moved) / 16, lasso(unit) * (power / 16), **tiny)
    close(lasso.grad(moved), lasso.grad(unit), rtol=1e-5, atol=1e-6)
    close(orthogonal(moved), orthogonal(unit), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("penalty", [rt.GroupLasso(0.1), rt.Orthogonal(0.1), rt.Orthogonal(0.1, mode="columns")])
@pytest.mark.parametrize("power", [1e-30, 1e-22, 1.0, 1e19, 1e25])
def test_closed_forms_are_autograds_at_every_magnitude(penalty: rt.Penalty, power: float):
    w = (torch.randn(4, 3, generator=torch.Generator().manual_seed(0)) * power).requires_grad_()
    penalty(w).backward()
    assert w.grad is not None
    torch.testing.assert_close(penalty.grad(w), w.grad, rtol=1e-4, atol=1e-6 / power)
    assert w.grad.abs().sum() > 0
    into = torch.zeros(4, 3)
    penalty.add_grad_(w.detach(), into, 2.0)
    torch.testing.assert_close(into, 2 * w.grad, rtol=1e-4, atol=1e-6 / power)


@pytest.mark.parametrize("magnitude", [1e-45, 1e-39, 1e-25, 1e-22, 1e-19])
def test_a_tiny_unit_goes_to_zero(magnitude: float):
    w = torch.full((1, 2), magnitude)
    assert (w > 0).all()
    assert (rt.GroupLasso(0.1).prox(w, 0.1) == 0).all()
    assert (rt.GroupLasso(0.1).prox(w, torch.full((1, 2), 0.1)) == 0).all()


@pytest.mark.parametrize("per_coordinate", [False, True])
def test_a_norm_and_a_threshold_beyond_the_dtype_are_compared(per_coordinate: bool):
    w = torch.full((1, 18), 9.2e37)  # of norm 3.9e38, where the largest float32 is 3.4e38
    for step, kept in ((1e30, 0.0), (0.9e30, 1 - 0.9e38 / 9.2e37)):  # the threshold is step·1e8·√18
        t = torch.full_like(w, step) if per_coordinate else step
        torch.testing.assert_close(rt.GroupLasso(1e8).prox(w, t), kept * w, rtol=1e-5, atol=0)


@given(
    w=any_magnitude(DTYPES),
    lam=st.floats(-320, 300).map(lambda e: 10.0**e),
    step=st.floats(-320, 300).map(lambda e: 10.0**e),
    per_coordinate=st.booleans(),
)
def test_a_proximal_step_shrinks_and_makes_no_nan(w: Tensor, lam: float, step: float, per_coordinate: bool):
    t: float | Tensor = step
    if per_coordinate:
        t = torch.full_like(w, 1.0).double().mul_(min(step, 1e30)).to(torch.promote_types(w.dtype, torch.float32))
        step = float(t.flatten()[0]) if t.numel() else 0.0
    z = rt.GroupLasso(lam).prox(w, t)
    assert z.isfinite().all()
    old, new = two_dims(w).double(), two_dims(z).double()
    assert (new.abs() <= old.abs() * (1 + 1e-6)).all()
    threshold = lam * math.sqrt(old.shape[1]) * step
    length = unit_lengths(w)
    assert (new[(length < threshold * (1 - 1e-4))] == 0).all()
    far = length > threshold * 1e4
    loss = 1e-3 if w.dtype in (torch.float32, torch.float64) else 2e-2
    grain = torch.finfo(w.dtype).smallest_normal
    assert ((new[far] - old[far]).abs() <= loss * old[far].abs() + grain).all()


@pytest.mark.parametrize("value", [torch.inf, torch.nan])
def test_what_is_not_finite_stays_seen(value: float):
    w = torch.tensor([[value, 1.0], [3.0, 4.0]])
    lasso = rt.GroupLasso(1.0)
    torch.testing.assert_close(lasso(w), torch.tensor(value), equal_nan=True)
    assert lasso.grad(w)[0].isnan().any()
    torch.testing.assert_close(lasso.grad(w)[1], torch.tensor([0.6, 0.8]) * 2**0.5)
    assert rt.Orthogonal(1.0)(w).isnan()
    for step in (0.1, torch.full((2, 2), 0.1)):
        z = lasso.prox(w, step)
        assert not z[0].isfinite().all()
        torch.testing.assert_close(z[1], w[1] * (1 - 0.1 * 2**0.5 / 5))
    for rule in (rt.MaxNorm(1.0), rt.UnitNorm()):
        assert rule(w)[0].isnan().any()
        torch.testing.assert_close(rule(w)[1], torch.tensor([0.6, 0.8]))
        torch.testing.assert_close(rule.violation(w), torch.tensor(value), equal_nan=True)


def test_other_devices_and_compiled_code_see_the_same(monkeypatch: pytest.MonkeyPatch):
    """Where nothing may be looked at, the same numbers come out."""
    magnitudes = torch.tensor([0.0, 1e-45, 1e-39, 1e-25, 1.0, 1e25, 1e38]).view(-1, 1)
    w = torch.rand(7, 5, generator=torch.Generator().manual_seed(0)).add(0.5) * magnitudes
    rules = [rt.MaxNorm(1.5), rt.UnitNorm(), rt.MinMaxNorm(0.5, 1.5, rate=0.3)]
    lasso = [rt.GroupLasso(0.1), rt.Orthogonal(0.1)]
    for dtype in (torch.float32, torch.float64):
        v = w.to(dtype)
        seen = [rule(v) for rule in rules], [(rule(v), rule.grad(v)) for rule in lasso], lasso[0].prox(v, 0.1)
        with monkeypatch.context() as patch:
            patch.setattr(torch.compiler, "is_compiling", lambda: True)
            unseen = [rule(v) for rule in rules], [(rule(v), rule.grad(v)) for rule in lasso], lasso[0].prox(v, 0.1)
            again = [rule(x) for rule, x in zip(rules[:2], unseen[0], strict=False)]
        torch.testing.assert_close(unseen, seen, rtol=1e-5, atol=0)
        assert all(torch.equal(a, b) for a, b in zip(again, unseen[0], strict=False))


def test_many_nets_at_once_see_the_same():
    """Under vmap the numbers of all members are looked at together."""
    w = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    for powers in (torch.ones(3), torch.tensor([1.0, 1e-30, 1e30])):
        many = w * powers.view(-1, 1, 1)
        for rule in (rt.MaxNorm(1.5), rt.UnitNorm(), rt.MaxNorm(1.5, dim=0)):
            torch.testing.assert_close(torch.vmap(rule)(many), torch.stack([rule(one) for one in many]))
        lasso = rt.GroupLasso(0.1)
        steps = torch.tensor([0.1, 0.2, 0.3])
        expected = torch.stack([lasso.prox(one, float(t)) for one, t in zip(many, steps, strict=True)])
        torch.testing.assert_close(torch.vmap(lasso.prox)(many, steps), expected)
        torch.testing.assert_close(
            torch.func.vmap(torch.func.grad(lasso))(many), torch.stack(list(map(lasso.grad, many)))
        )


@pytest.mark.parametrize("shape", [(), (0,), (1,), (0, 3), (3, 0), (2, 0, 3), (0, 0), (1, 1, 1, 1, 1)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_odd_shapes(shape: tuple[int, ...], dtype: torch.dtype):
    w = torch.ones(shape, dtype=dtype)
    for constraint in (*RULES, rt.NonNeg()):
        assert constraint(w).shape == constraint.project_(w.clone()).shape == w.shape
        assert constraint.violation(w).isfinite()
    for penalty in (rt.GroupLasso(0.1), rt.Orthogonal(0.1), rt.Orthogonal(0.1, mode="columns"), rt.L1L2(0.1, 0.1)):
        assert penalty(w).shape == ()
        assert penalty(w).isfinite()
        assert penalty.grad(w).shape == w.shape
    for step in (0.1, torch.ones(shape)):
        assert rt.GroupLasso(0.1).prox(w, step).shape == w.shape


@given(w=any_magnitude([torch.float32, torch.float64]))
def test_the_norm_is_hypot(w: Tensor):
    found = units(w, reduced("x", w, None)).length.flatten()
    most = torch.finfo(w.dtype).max
    expected = unit_lengths(w).clamp(max=most).to(w.dtype)
    info = torch.finfo(w.dtype)
    assert ((found - expected).abs() <= 8 * info.eps * expected + 2 * info.smallest_normal * info.eps).all()


def test_a_bound_that_no_number_reaches_is_refused():
    rule = rt.MinMaxNorm(1e5, 1e6)
    assert rule(torch.ones(2, 3)).isfinite().all()
    with pytest.raises(ValueError, match=r"MinMaxNorm\(.*\): no norm of torch.float16 is in the set"):
        rule(torch.ones(2, 3, dtype=torch.float16))
    assert rt.MaxNorm(1e300)(torch.ones(2, 3, dtype=torch.float16)).eq(1).all()
