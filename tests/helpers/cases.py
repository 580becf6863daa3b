"""The one table of penalties and constraints: every public rule has a row, and every test of properties walks it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import regtorch as rt

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PenaltyCase:
    """A penalty, its NumPy formula on a (units, rest) matrix, and how to make it with another strength."""

    rule: rt.Penalty
    formula: Callable[[Array], float]
    of_strength: Callable[[float], rt.Penalty]
    proximal: bool = True
    every_scale: bool = True  # whether formula and NumPy agree to rounding at every magnitude and in half precision


@dataclass(frozen=True)
class ConstraintCase:
    """A constraint, its NumPy formula on a (units, rest) matrix, and whether a weight lies inside the set."""

    rule: rt.Constraint
    formula: Callable[[Array], Array]
    inside: Callable[[Array], bool]
    idempotent: bool = True
    keeps_zero: bool = True  # a unit that is 0
    every_scale: bool = True  # whether formula and NumPy agree to rounding at every magnitude and in half precision


def row_norms(w: Array) -> Array:
    return np.sqrt((w**2).sum(1, keepdims=True))


def group_lasso(w: Array) -> float:
    return 0.3 * float((np.sqrt(w.shape[1]) * row_norms(w)).sum())


def mean_abs_cosine(w: Array) -> float:
    n = len(w)
    norms = row_norms(w)
    unit = w / np.where(norms > 0, norms, 1)
    cosines = np.abs(unit @ unit.T)
    return 0.0 if n < 2 else 0.3 * float((cosines.sum() - np.diag(cosines).sum()) / (n * (n - 1)))


def singular_values(w: Array) -> Array:
    return np.linalg.svd(w, compute_uv=False).astype(np.float64)


def over_norm(w: Array, power: int) -> float:
    norm = np.sqrt((w**2).sum())
    return 0.3 * float((np.abs(w).sum() / norm) ** power) if norm else 0.0


def with_norms(new: Callable[[Array], Array]) -> Callable[[Array], Array]:
    def scaled(w: Array) -> Array:
        norms = row_norms(w)
        return w * np.where(norms > 0, new(norms) / np.where(norms > 0, norms, 1), 1)

    return scaled


def live_norms(w: Array) -> Array:
    """The norms of the rows that are not zero; a zero row has no direction and is left alone."""
    norms = row_norms(w)
    return norms[norms > 0]


def on_simplex(row: Array, total: float) -> Array:
    """The nearest point with w ≥ 0 and Σw = total, by leaving out numbers without a share (Michelot 1986)."""
    row = row - row.max(initial=0.0 if not row.size else -np.inf)
    has = row >= -total
    while True:
        t = (row[has].sum() - total) / max(1, has.sum())
        if (row[has] > t).all():
            return np.where(has, row - t, 0.0)
        has &= row > t


def in_l1_ball(row: Array, radius: float) -> Array:
    return row if np.abs(row).sum() <= radius else np.sign(row) * on_simplex(np.abs(row), radius)


def clipped(w: Array, largest: float) -> Array:
    left, values, right = np.linalg.svd(w, full_matrices=False)
    return (left * np.minimum(values, largest)) @ right


def of_rows(project: Callable[[Array], Array]) -> Callable[[Array], Array]:
    return lambda w: np.stack([project(row) for row in w])


PENALTIES: dict[str, PenaltyCase] = {
    "L1": PenaltyCase(rt.L1(0.3), lambda w: 0.3 * float(np.abs(w).sum()), rt.L1),
    "L2": PenaltyCase(rt.L2(0.3), lambda w: 0.3 * float((w**2).sum()), rt.L2),
    "L1L2": PenaltyCase(
        rt.L1L2(l1=0.3, l2=0.2),
        lambda w: 0.3 * float(np.abs(w).sum()) + 0.2 * float((w**2).sum()),
        lambda s: rt.L1L2(l1=s, l2=s),
    ),
    "ElasticNet": PenaltyCase(
        rt.ElasticNet(0.3, 0.75),
        lambda w: 0.225 * float(np.abs(w).sum()) + 0.0375 * float((w**2).sum()),
        lambda s: rt.ElasticNet(s, 0.75),
    ),
    "GroupLasso": PenaltyCase(rt.GroupLasso(0.3), group_lasso, rt.GroupLasso),
    "Orthogonal": PenaltyCase(rt.Orthogonal(0.3), mean_abs_cosine, rt.Orthogonal, proximal=False),
    "Orthogonal columns": PenaltyCase(
        rt.Orthogonal(0.3, mode="columns"),
        lambda w: mean_abs_cosine(w.T),
        lambda s: rt.Orthogonal(s, mode="columns"),
        proximal=False,
    ),
}

PENALTIES |= {
    "Custom": PenaltyCase(
        rt.Custom(lambda w: w.square().sum(), 0.3),
        lambda w: 0.3 * float((w**2).sum()),
        lambda s: rt.Custom(lambda w: w.square().sum(), s),
        proximal=False,
    ),
    "Hoyer": PenaltyCase(rt.Hoyer(0.3), lambda w: over_norm(w, 1), rt.Hoyer, proximal=False, every_scale=False),
    "HoyerSquare": PenaltyCase(
        rt.HoyerSquare(0.3), lambda w: over_norm(w, 2), rt.HoyerSquare, proximal=False, every_scale=False
    ),
    "SparseGroupLasso": PenaltyCase(
        rt.SparseGroupLasso(0.2, 0.3),
        lambda w: 0.2 * float(np.abs(w).sum()) + group_lasso(w),
        lambda s: rt.SparseGroupLasso(s, s),
    ),
    "SpectralNorm": PenaltyCase(
        rt.SpectralNorm(0.3),
        lambda w: 0.3 * float(singular_values(w).max()),
        rt.SpectralNorm,
        proximal=False,
        every_scale=False,
    ),
    "NuclearNorm": PenaltyCase(
        rt.NuclearNorm(0.3), lambda w: 0.3 * float(singular_values(w).sum()), rt.NuclearNorm, proximal=False
    ),
    "SoftOrthogonal": PenaltyCase(
        rt.SoftOrthogonal(0.3),
        lambda w: 0.3 * float(((w @ w.T - np.eye(len(w))) ** 2).sum()),
        rt.SoftOrthogonal,
        proximal=False,
        every_scale=False,
    ),
}

CONSTRAINTS: dict[str, ConstraintCase] = {
    "MaxNorm": ConstraintCase(
        rt.MaxNorm(1.5), with_norms(lambda n: np.minimum(n, 1.5)), lambda w: bool((row_norms(w) <= 1.5 + 1e-12).all())
    ),
    "UnitNorm": ConstraintCase(
        rt.UnitNorm(), with_norms(np.ones_like), lambda w: bool(np.allclose(live_norms(w), 1, rtol=1e-12))
    ),
    "NonNeg": ConstraintCase(rt.NonNeg(), lambda w: np.maximum(w, 0), lambda w: bool((w >= 0).all())),
    "MinMaxNorm": ConstraintCase(
        rt.MinMaxNorm(0.5, 1.5),
        with_norms(lambda n: np.clip(n, 0.5, 1.5)),
        lambda w: bool(((live_norms(w) >= 0.5 - 1e-12) & (live_norms(w) <= 1.5 + 1e-12)).all()),
    ),
    "MinMaxNorm rate": ConstraintCase(
        rt.MinMaxNorm(0.5, 1.5, rate=0.25),
        with_norms(lambda n: 0.25 * np.clip(n, 0.5, 1.5) + 0.75 * n),
        lambda w: True,
        idempotent=False,
    ),
}

CONSTRAINTS |= {
    "Box": ConstraintCase(
        rt.Box(-0.5, 0.75), lambda w: np.clip(w, -0.5, 0.75), lambda w: bool(((w >= -0.5) & (w <= 0.75)).all())
    ),
    "Box above": ConstraintCase(
        rt.Box(0.25, None), lambda w: np.maximum(w, 0.25), lambda w: bool((w >= 0.25).all()), keeps_zero=False
    ),
    "L1Ball": ConstraintCase(
        rt.L1Ball(1.5),
        of_rows(lambda row: in_l1_ball(row, 1.5)),
        lambda w: bool((np.abs(w).sum(1) <= 1.5 + 1e-12).all()),
    ),
    "Simplex": ConstraintCase(
        rt.Simplex(1.5),
        of_rows(lambda row: on_simplex(row, 1.5)),
        lambda w: bool((w >= 0).all() and np.allclose(w.sum(1), 1.5, rtol=1e-12)),
        keeps_zero=False,
    ),
    "SpectralMax": ConstraintCase(
        rt.SpectralMax(1.5),
        lambda w: clipped(w, 1.5),
        lambda w: bool(singular_values(w).max(initial=0.0) <= 1.5 + 1e-12),
        every_scale=False,
    ),
}


def every(table: dict[str, Any], argument: str = "case") -> pytest.MarkDecorator:
    """Run a test for each row of a table."""
    return pytest.mark.parametrize(argument, table.values(), ids=[name.replace(" ", "-") for name in table])
