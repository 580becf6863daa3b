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
    _require(torch.equal(w, before), rule, w, "writes to the weight when called; only project_ may")
    _require(inside.shape == w.shape and inside.dtype == w.dtype, rule, w, "changes a weight's shape or dtype")
    _require(bool(inside.isfinite().all()), rule, w, "returns values that are not finite: {}", inside)
    partly = getattr(rule, "rate", 1.0) < 1  # of MinMaxNorm, which then moves part of the way
    again = rule(inside)
    _require(partly or _close(again, inside), rule, w, "changes a weight that is already in the set")
    if partly:
        nearer = float(rule.violation(again)) <= float(rule.violation(inside)) * (1 + 1e-9)
        _require(nearer, rule, w, "moves a weight away from the set")
    elif bool((w != 0).all()):  # a zero unit has no direction
        left = float(rule.violation(inside))
        _require(left <= 1e-9 * (1 + float(inside.abs().max())), rule, w, "leaves a violation of {:g}", left)
    in_place = w.clone()
    rule.project_(in_place)
    _require_close(in_place, inside, rule, w, "differs in place: {:.6g} at {}, out of place {:.6g}")
    _require(float(rule.violation(w)) >= 0, rule, w, "has a negative violation")
    violated = _close(inside, w) or float(rule.violation(w)) > 0
    _require(violated, rule, w, "has violation 0 although it moves the weight, to {}", inside)
    zero = torch.zeros_like(w)
    _require(bool(rule(zero).isfinite().all()), rule, zero, "returns values that are not finite")


def _check_value(rule: Penalty, w: Tensor) -> None:
    before = w.clone()
    seen = w.clone().requires_grad_().clone()  # not a leaf, which would refuse in-place writes
    value: Any = rule(seen)
    what = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)
    scalar = isinstance(value, Tensor) and value.ndim == 0
    _require(scalar, rule, w, "returns {}, expected a 0-dim tensor; sum it", what)
    _require(torch.equal(seen.detach(), before), rule, w, "writes to the weight")
    _require(bool(value.isfinite()), rule, w, "returns {}", value.item())
    _require(value.requires_grad, rule, w, "returns a value without a graph; compute it from w with torch functions")
    _require(torch.equal(rule(w), value.detach()), rule, w, "returns another value when called again")


def _check_gradient(rule: Penalty, w: Tensor, smooth: bool) -> None:
    g = rule.grad(w)
    alike = isinstance(g, Tensor) and g.shape == w.shape and g.dtype == w.dtype
    _require(alike, rule, w, "has a grad that differs from its weight in shape or dtype")
    v = w.clone().requires_grad_()
    value = rule(v)
    (expected,) = torch.autograd.grad(value, v)
    _require_close(g, expected, rule, w, "has grad {:.6g} at {}, by autograd {:.6g}")
    if smooth or bool((w != 0).all()):
        for direction in _directions(w):
            h = 1e-6 * max(1e-3, float(w.abs().max()))
            slope = float((rule(w + h * direction) - rule(w - h * direction)) / (2 * h))
            claimed = float((g * direction).sum())
            rounding = 16 * torch.finfo(w.dtype).eps * abs(float(value.detach())) / h
            near = abs(slope - claimed) <= 1e-4 * (abs(slope) + abs(claimed)) + 1e-6 + rounding
            fault = "has a slope of {:.6g} along a direction, but its grad gives {:.6g}"
            _require(near, rule, w, fault, slope, claimed)
    into = torch.ones_like(w)
    rule.add_grad_(w, into, 0.5)
    _require(_close(into, 1 + 0.5 * g), rule, w, "has an add_grad_ that disagrees with its grad")


def _check_strength(rule: Penalty, off: Penalty, twice: Penalty, w: Tensor) -> None:
    _require(not off.active and float(off(w)) == 0, rule, w, "is not 0 at strength 0")
    _require(bool((off.grad(w) == 0).all()), rule, w, "has a gradient at strength 0")
    _require(_close(twice(w), 2 * rule(w)), rule, w, "is not twice as large at twice the strength")


def _check_prox(rule: Penalty, w: Tensor) -> None:
    """Check that no nearby point, nor the weight itself, has a lower cost than the proximal step."""
    steps: list[float | Tensor] = [0.3, 0.01]
    if not rule.one_step_size:
        steps.append(torch.linspace(0.01, 0.5, max(1, w.numel()), dtype=w.dtype).view(w.shape))
    for step in steps:
        before = w.clone()
        z = rule.prox(w, step)
        _require(torch.equal(w, before), rule, before, "writes to the weight in its prox")
        kept = not rule.prox_keeps_signs or bool((z * w >= 0).all())
        _require(kept, rule, w, "has prox_keeps_signs=True, but its prox is {} at step {}", z, step)
        _require(z.shape == w.shape and z.dtype == w.dtype, rule, w, "changes shape or dtype in its prox")

        def cost(x: Tensor, step: float | Tensor = step) -> float:
            return float(rule(x) + ((x - w).square() / (2 * step)).sum())

        best = cost(z)
        for point in (w, torch.zeros_like(w), *(z + s * d for d in _directions(w) for s in (1e-3, -1e-3, 0.1))):
            better = cost(point)
            fault = "has a prox of {} at step {} with cost {:.9g}, but {} has cost {:.9g}"
            _require(best <= better + 1e-9 * (1 + abs(best)), rule, w, fault, z, step, best, point, better)


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


def _require_close(found: Tensor, expected: Tensor, rule: object, w: Tensor, fault: str) -> None:
    """`fault` shows the elements that differ most: the one found, its index, and the one expected."""
    if not _close(found, expected):
        apart = (found - expected).abs().nan_to_num(nan=torch.inf, posinf=torch.inf).flatten()
        where = apart.argmax()
        index = [int(i) for i in torch.unravel_index(where, found.shape)]
        _require(False, rule, w, fault, found.flatten()[where], index, expected.flatten()[where])


def _require(holds: bool, rule: object, w: Tensor, fault: str, *values: object) -> None:
    """`values` are formatted into `fault` only where it is shown: many checks hold, and tensors take long to format."""
    if not holds:
        raise AssertionError(f"{rule!r} {fault.format(*values)}\n    w = {w.detach()}")
