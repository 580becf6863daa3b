"""Checks for custom penalties and constraints: the properties that the library relies on, tried on many weights.

Each function raises an AssertionError that names the violated property and shows the smallest counter-example.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from regtorch.constraints import Constraint
from regtorch.penalties import Penalty

__all__ = ["check_constraint", "check_constraint_at", "check_penalty", "check_penalty_at"]

SHAPES = ((1,), (4,), (1, 3), (2, 2), (3, 5), (5, 1), (4, 3, 3), (3, 2, 2, 2))
_SCALES = (1.0, 1e-3, 1e2)
_DIRECTIONS, _LARGE = 6, 10_000  # fewer directions for large weights


def check_penalty(
    rule: Penalty, *, shapes: Sequence[tuple[int, ...]] = SHAPES, seed: int = 0, smooth: bool = False
) -> None:
    """Check a penalty: a finite value, the right gradient and proximal step, no writes to the weight, 0 at strength 0.

    Args:
        rule: the penalty; its own strength should be above 0.
        shapes: shapes of the weights to try, units first; give those that the penalty supports.
        seed: seed of the random weights.
        smooth: whether it has no kinks, so that weights with zeros and equal numbers are checked, too.

    Raises:
        AssertionError: a property is violated; the message shows a counter-example.
        TypeError: `rule` is not a penalty.

    Example:
        >>> import regtorch as rt
        >>> rt.testing.check_penalty(rt.L1L2(0.1, 0.2))
        >>> class Wrong(rt.Penalty):
        ...     lam: float = 0.1
        ...     def __call__(self, w):
        ...         return self.lam * w.square()
        >>> rt.testing.check_penalty(Wrong())
        Traceback (most recent call last):
        AssertionError: Wrong(lam=0.1) returns a tensor of shape (1,), expected a 0-dim tensor; sum it
            w = tensor([1.5410], dtype=torch.float64)
    """
    if not isinstance(rule, Penalty):
        raise TypeError(f"check_penalty: rule must be a regtorch.Penalty, received {rule!r}")
    for w in _weights(shapes, seed):
        bound = rule.for_weight("w", w.roll(1))
        scaled = [rule.scaled(factor).for_weight("w", w.roll(1)) for factor in (0.0, 2.0)] if rule.strengths else None
        check_penalty_at(bound, w, w, smooth=smooth, scaled=scaled)


def check_penalty_at(
    rule: Penalty, w: Tensor, apart: Tensor, *, smooth: bool = False, scaled: Sequence[Penalty] | None = None
) -> None:
    """Check a penalty on one weight.

    Args:
        rule: the penalty for that weight.
        w: the weight, in float64.
        apart: where to compare gradients and proximal steps; away from kinks, where they are not unique.
        smooth: whether the penalty has no kinks.
        scaled: the penalty at strength 0 and at twice its strength; None derives them from `rule`.

    Raises:
        AssertionError: a property is violated; the message shows a counter-example.
    """
    _check_value(rule, w)
    _check_gradient(rule, apart, smooth)
    if rule.strengths:
        off, twice = scaled or (rule.scaled(0.0), rule.scaled(2.0))
        _check_strength(rule, off, twice, apart)
    if type(rule).prox is not Penalty.prox:
        _check_prox(rule, apart)


def check_constraint(rule: Constraint, *, shapes: Sequence[tuple[int, ...]] = SHAPES, seed: int = 0) -> None:
    """Check a constraint: it maps into the set, is idempotent, and `project_` does the same in place.

    Args:
        rule: the constraint.
        shapes: shapes of the weights to try, units first.
        seed: seed of the random weights.

    Raises:
        AssertionError: a property is violated; the message shows a counter-example.
        TypeError: `rule` is not a constraint.

    Example:
        >>> import regtorch as rt
        >>> rt.testing.check_constraint(rt.MaxNorm(1.0))
    """
    if not isinstance(rule, Constraint):
        raise TypeError(f"check_constraint: rule must be a regtorch.Constraint, received {rule!r}")
    for w in _weights(shapes, seed):
        check_constraint_at(rule, w)


def check_constraint_at(rule: Constraint, w: Tensor) -> None:
    """Check a constraint on one weight in float64.

    Raises:
        AssertionError: a property is violated; the message shows a counter-example.
    """
    before = w.clone()
    inside = rule(w)
    _require(torch.equal(w, before), rule, "writes to the weight when called; only project_ may", w)
    _require(inside.shape == w.shape and inside.dtype == w.dtype, rule, "changes a weight's shape or dtype", w)
    _require(bool(inside.isfinite().all()), rule, f"returns values that are not finite: {inside}", w)
    partly = getattr(rule, "rate", 1.0) < 1  # of MinMaxNorm, which then moves part of the way
    again = rule(inside)
    _require(partly or _close(again, inside), rule, "changes a weight that is already in the set", w)
    if partly:
        nearer = float(rule.violation(again)) <= float(rule.violation(inside)) * (1 + 1e-9)
        _require(nearer, rule, "moves a weight away from the set", w)
    elif bool((w != 0).all()):  # a zero unit has no direction
        left = float(rule.violation(inside))
        _require(left <= 1e-9 * (1 + float(inside.abs().max())), rule, f"leaves a violation of {left:g}", w)
    in_place = w.clone()
    rule.project_(in_place)
    _require(_close(in_place, inside), rule, f"differs in place: {_difference(in_place, inside, 'out of place')}", w)
    _require(float(rule.violation(w)) >= 0, rule, "has a negative violation", w)
    violated = _close(inside, w) or float(rule.violation(w)) > 0
    _require(violated, rule, f"has violation 0 although it moves the weight, to {inside}", w)
    zero = torch.zeros_like(w)
    _require(bool(rule(zero).isfinite().all()), rule, "returns values that are not finite", zero)


def _check_value(rule: Penalty, w: Tensor) -> None:
    before = w.clone()
    seen = w.clone().requires_grad_().clone()  # not a leaf, which would refuse in-place writes
    value: Any = rule(seen)
    what = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"{value!r}"
    scalar = isinstance(value, Tensor) and value.ndim == 0
    _require(scalar, rule, f"returns {what}, expected a 0-dim tensor; sum it", w)
    _require(torch.equal(seen.detach(), before), rule, "writes to the weight", w)
    _require(bool(value.isfinite()), rule, f"returns {value.item()}", w)
    _require(value.requires_grad, rule, "returns a value without a graph; compute it from w with torch functions", w)
    _require(torch.equal(rule(w), value.detach()), rule, "returns another value when called again", w)


def _check_gradient(rule: Penalty, w: Tensor, smooth: bool) -> None:
    g = rule.grad(w)
    alike = isinstance(g, Tensor) and g.shape == w.shape and g.dtype == w.dtype
    _require(alike, rule, "has a grad that differs from its weight in shape or dtype", w)
    v = w.clone().requires_grad_()
    value = rule(v)
    (expected,) = torch.autograd.grad(value, v)
    _require(_close(g, expected), rule, f"has grad {_difference(g, expected, 'by autograd')}", w)
    if smooth or bool((w != 0).all()):
        for direction in _directions(w):
            h = 1e-6 * max(1e-3, float(w.abs().max()))
            slope = float((rule(w + h * direction) - rule(w - h * direction)) / (2 * h))
            claimed = float((g * direction).sum())
            rounding = 16 * torch.finfo(w.dtype).eps * abs(float(value.detach())) / h
            near = abs(slope - claimed) <= 1e-4 * (abs(slope) + abs(claimed)) + 1e-6 + rounding
            _require(near, rule, f"has a slope of {slope:.6g} along a direction, but its grad gives {claimed:.6g}", w)
    into = torch.ones_like(w)
    rule.add_grad_(w, into, 0.5)
    _require(_close(into, 1 + 0.5 * g), rule, "has an add_grad_ that disagrees with its grad", w)


def _check_strength(rule: Penalty, off: Penalty, twice: Penalty, w: Tensor) -> None:
    _require(not off.active and float(off(w)) == 0, rule, "is not 0 at strength 0", w)
    _require(bool((off.grad(w) == 0).all()), rule, "has a gradient at strength 0", w)
    _require(_close(twice(w), 2 * rule(w)), rule, "is not twice as large at twice the strength", w)


def _check_prox(rule: Penalty, w: Tensor) -> None:
    """Check that no nearby point, nor the weight itself, has a lower cost than the proximal step."""
    steps: list[float | Tensor] = [0.3, 0.01]
    if not rule.one_step_size:
        steps.append(torch.linspace(0.01, 0.5, max(1, w.numel()), dtype=w.dtype).view(w.shape))
    for step in steps:
        before = w.clone()
        z = rule.prox(w, step)
        _require(torch.equal(w, before), rule, "writes to the weight in its prox", before)
        kept = not rule.prox_keeps_signs or bool((z * w >= 0).all())
        _require(kept, rule, f"has prox_keeps_signs=True, but its prox is {z} at step {step}", w)
        _require(
            z.shape == w.shape and z.dtype == w.dtype,
            rule,
            "changes shape or dtype in its prox",
            w,
        )

        def cost(x: Tensor, step: float | Tensor = step) -> float:
            return float(rule(x) + ((x - w).square() / (2 * step)).sum())

        best = cost(z)
        for point in (w, torch.zeros_like(w), *(z + s * d for d in _directions(w) for s in (1e-3, -1e-3, 0.1))):
            better = cost(point)
            fault = f"has a prox of {z} at step {step} with cost {best:.9g}, but {point} has cost {better:.9g}"
            _require(best <= better + 1e-9 * (1 + abs(best)), rule, fault, w)


def _weights(shapes: Sequence[tuple[int, ...]], seed: int) -> Iterator[Tensor]:
    """Random weights of each shape and scale, smallest first; then some with zeros."""
    generator = torch.Generator().manual_seed(seed)
    shapes = sorted(shapes, key=math.prod)
    for scale in _SCALES:
        for shape in shapes:
            yield scale * torch.randn(shape, generator=generator, dtype=torch.float64)
    for shape in shapes:
        w = torch.randn(shape, generator=generator, dtype=torch.float64)
        yield w * (torch.rand(shape, generator=generator) > 0.4)


def _directions(w: Tensor) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(w.numel())
    for _ in range(_DIRECTIONS if w.numel() < _LARGE else 2):
        d = torch.randn(w.shape, generator=generator, dtype=w.dtype)
        yield d / d.norm()


def _close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-8, atol=1e-10)


def _difference(found: Tensor, expected: Tensor, source: str) -> str:
    """The elements that differ most, and their index."""
    apart = (found - expected).abs().nan_to_num(nan=torch.inf, posinf=torch.inf).flatten()
    where = int(apart.argmax())
    index = [int(i) for i in torch.unravel_index(torch.tensor(where), found.shape)]
    return f"{found.flatten()[where]:.6g} at {index}, {source} {expected.flatten()[where]:.6g}"


def _require(holds: bool, rule: object, fault: str, w: Tensor) -> None:
    if not holds:
        raise AssertionError(f"{rule!r} {fault}\n    w = {w.detach()}")
