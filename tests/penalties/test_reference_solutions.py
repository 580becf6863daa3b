"""Full-batch SGD with a rule attached ends at the optimum that other solvers find, to 1e-9, with the same zeros."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import regtorch as rt

Array = NDArray[np.float64]
WITHIN = 1e-9


def problem(seed: int = 0, outputs: int = 1, samples: int = 80, inputs: int = 12) -> tuple[Tensor, Tensor]:
    """Least squares in which few weights matter."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(samples, inputs, generator=generator, dtype=torch.float64)
    truth = torch.randn(outputs, inputs, generator=generator, dtype=torch.float64)
    truth[:, inputs // 3 :] = 0
    return x, x @ truth.T + 0.3 * torch.randn(samples, outputs, generator=generator, dtype=torch.float64)


def solved(rule: rt.Penalty | rt.Constraint, x: Tensor, y: Tensor) -> Array:
    """The (outputs, inputs) weight at rest under ½ · the mean over samples of squared errors, summed over outputs."""
    model = nn.Linear(x.shape[1], y.shape[1], bias=False).double()
    lr = len(x) / float(torch.linalg.matrix_norm(x, 2)) ** 2
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    if isinstance(rule, rt.Constraint):
        rule.on(model).attach(optimizer)
    else:
        rule.on(model).attach(optimizer, proximal=True)
    for _ in range(4000):
        before = model.weight.detach().clone()
        optimizer.zero_grad()
        (0.5 * (model(x) - y).square().sum(1).mean()).backward()
        optimizer.step()
        if (model.weight.detach() - before).abs().max() < 1e-15:
            break
    return model.weight.detach().numpy()


def pull(w: Array, x: Tensor, y: Tensor) -> Array:
    """Minus the gradient of the loss."""
    return (y.numpy() - x.numpy() @ w.T).T @ x.numpy() / len(x)


def same(found: Array, expected: Array) -> None:
    assert np.abs(found - expected).max() <= WITHIN
    assert ((found == 0) == (expected == 0)).all()


def fitted(estimator: Callable[..., object], x: Tensor, y: Tensor, **arguments: float) -> Array:
    """The coefficients after so many rounds that they rest."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # no tolerance is left to reach
        made = estimator(fit_intercept=False, tol=0.0, max_iter=20_000, **arguments)
        return np.atleast_2d(made.fit(x.numpy(), y.numpy() if y.shape[1] > 1 else y.numpy()[:, 0]).coef_)


@pytest.mark.parametrize("alpha", [0.02, 0.2])
def test_lasso(alpha: float):
    from sklearn.linear_model import Lasso

    x, y = problem()
    expected = fitted(Lasso, x, y, alpha=alpha)
    assert 0 < (expected == 0).sum() < expected.size
    same(solved(rt.L1(alpha), x, y), expected)


@pytest.mark.parametrize("l1_ratio", [0.2, 0.9])
def test_elastic_net_by_scikit_learns_numbers(l1_ratio: float):
    from sklearn.linear_model import ElasticNet

    x, y = problem(1)
    same(solved(rt.ElasticNet(0.3, l1_ratio), x, y), fitted(ElasticNet, x, y, alpha=0.3, l1_ratio=l1_ratio))
    assert rt.ElasticNet(0.3, l1_ratio).coefficients == pytest.approx((0.3 * l1_ratio, 0.15 * (1 - l1_ratio)))
    doubled = rt.convert((0.3, l1_ratio), "sklearn.ElasticNet", "keras")  # beside a mean without the ½
    assert rt.ElasticNet(0.6, l1_ratio).coefficients == pytest.approx(doubled)
    assert rt.ElasticNet(0.3, l1_ratio).scaled(2.0).coefficients == pytest.approx(doubled)


@pytest.mark.parametrize("value", [1.5, -0.1, float("nan"), "0.5", None])
def test_a_share_that_is_none_is_refused(value: object):
    with pytest.raises((TypeError, ValueError), match=r"ElasticNet: l1_ratio must .*received"):
        rt.ElasticNet(0.1, value)


def test_groups_of_features_are_the_multi_task_lasso():
    from sklearn.linear_model import MultiTaskLasso

    x, y = problem(2, outputs=3)
    expected = fitted(MultiTaskLasso, x, y, alpha=0.4)
    assert 0 < (expected == 0).all(0).sum() < expected.shape[1]
    same(solved(rt.GroupLasso(0.4 / 3**0.5, dim=0), x, y), expected)


def test_groups_of_outputs_against_a_scalar_equation():
    from scipy.optimize import brentq

    x, y = problem(3, outputs=3)
    y[:, 2] *= 0.05  # an output that goes to zero
    lam = 0.1
    found = solved(rt.GroupLasso(lam), x, y)
    values, vectors = np.linalg.eigh(x.numpy().T @ x.numpy() / len(x))
    for w, target in zip(found, (x.T @ y / len(x)).numpy().T, strict=True):
        strength = lam * len(w) ** 0.5
        along = vectors.T @ target
        if np.linalg.norm(target) <= strength:
            assert (w == 0).all()
            continue

        def excess(norm: float, along: Array = along, strength: float = strength) -> float:
            return float(np.linalg.norm(along / (values * norm + strength)) - 1)  # w = V (Λ + s/‖w‖)⁻¹ Vᵀ target

        norm = brentq(excess, 1e-9, 1e3, xtol=1e-15, rtol=1e-14)
        assert np.abs(w - vectors @ (along * norm / (values * norm + strength))).max() <= WITHIN
    assert (found[2] == 0).all()


def test_blocks_of_inputs_by_optimality():
    """As the heads of a projection back: four inputs each."""
    x, y = problem(4, outputs=2)
    lam = 0.2
    found = solved(rt.GroupLasso(lam, dim=0, blocks=4), x, y)
    strength = lam * 8**0.5
    live = 0
    for w, g in zip(np.split(found, 3, 1), np.split(pull(found, x, y), 3, 1), strict=True):
        if norm := np.linalg.norm(w):
            assert np.abs(g - strength * w / norm).max() <= WITHIN
            live += 1
        else:
            assert np.linalg.norm(g) <= strength
    assert live == 1


def test_sparse_group_lasso_by_optimality():
    x, y = problem(5, outputs=4)
    y[:, 3] *= 0.02
    l1, lam = 0.1, 0.05
    found = solved(rt.SparseGroupLasso(l1, lam), x, y)
    strength = lam * x.shape[1] ** 0.5
    zeros = 0
    for w, g in zip(found, pull(found, x, y), strict=True):
        if not w.any():
            assert np.linalg.norm(np.maximum(np.abs(g) - l1, 0)) <= strength + WITHIN
            continue
        rest = g - strength * w / np.linalg.norm(w)
        assert np.abs(rest[w != 0] - l1 * np.sign(w[w != 0])).max() <= WITHIN
        assert np.abs(rest[w == 0]).max(initial=0) <= l1 + WITHIN
        zeros += (w == 0).sum()
    assert zeros
    assert not found[3].any()


def test_the_nuclear_norm_by_optimality_in_numpy():
    x, y = problem(6, outputs=5)
    found, lam = solved(rt.NuclearNorm(0.5), x, y), 0.5
    left, values, right = np.linalg.svd(found + pull(found, x, y), full_matrices=False)
    assert np.abs((left * np.maximum(values - lam, 0)) @ right - found).max() <= WITHIN
    assert 0 < np.linalg.matrix_rank(found, tol=1e-8) < 5


@pytest.mark.parametrize("l1", [0.0, 0.15])
def test_total_variation_and_the_fused_lasso_by_optimality(l1: float):
    """-∇loss = λ Dᵀu + l1 s with |u| ≤ 1, and u the sign of each step that is not 0: by partial sums."""
    x, y = problem(7)
    lam = 0.4
    found = solved(rt.FusedLasso(l1, lam) if l1 else rt.TotalVariation(lam), x, y)[0]
    g = pull(found[None], x, y)[0]
    steps = np.diff(found)
    assert 0 < (steps == 0).sum() < len(steps)
    if l1:  # s is free where w is 0: the pieces of others are looked at alone
        ends = np.flatnonzero(np.diff(found != 0)) + 1
        pieces = [p for p in np.split(np.arange(len(found)), ends) if found[p[0]]]
        assert len(pieces) < len(ends) + 1
    else:
        pieces = [np.arange(len(found))]
    for piece in pieces:
        before = lam * np.sign(found[piece[0]] - found[piece[0] - 1]) if piece[0] else 0.0
        after = lam * np.sign(found[piece[-1] + 1] - found[piece[-1]]) if piece[-1] + 1 < len(found) else 0.0
        u = np.cumsum(l1 * np.sign(found[piece]) - g[piece]) + before
        assert abs(u[-1] - after) <= WITHIN
        inner = steps[piece[:-1]]
        assert np.abs(u[:-1]).max(initial=0) <= lam + WITHIN
        assert np.abs(u[:-1][inner != 0] - lam * np.sign(inner[inner != 0])).max(initial=0) <= WITHIN


def test_a_box_against_bounded_least_squares():
    from scipy.optimize import lsq_linear

    x, y = problem(8)
    expected = lsq_linear(x.numpy(), y.numpy()[:, 0], bounds=(-0.2, 0.4), method="bvls", tol=1e-15).x
    found = solved(rt.Box(-0.2, 0.4), x, y)[0]
    assert np.abs(found - expected).max() <= WITHIN
    assert ((found == -0.2) | (found == 0.4)).sum() == np.isin(expected, (-0.2, 0.4)).sum() > 1


@pytest.mark.parametrize("rule", [rt.NonNeg(), rt.Box(0.0, None)], ids=str)
def test_no_negative_numbers_against_nnls(rule: rt.Constraint):
    from scipy.optimize import nnls

    x, y = problem(9)
    expected = nnls(x.numpy(), y.numpy()[:, 0])[0]
    assert 0 < (expected == 0).sum() < expected.size
    same(solved(rule, x, y), expected[None])


def test_shares_by_optimality():
    """On the simplex the pull is one number where w > 0, and at most that elsewhere."""
    x, y = problem(10)
    found = solved(rt.Simplex(2.0), x, y)[0]
    g = pull(found[None], x, y)[0]
    assert found.sum() == pytest.approx(2.0, abs=1e-12)
    assert 0 < (found == 0).sum() < found.size
    level = g[found > 0].mean()
    assert np.abs(g[found > 0] - level).max() <= WITHIN
    assert (g[found == 0] <= level + WITHIN).all()


def test_the_l1_ball_is_a_lasso_of_some_strength():
    x, y = problem(11)
    found = solved(rt.L1Ball(1.5), x, y)
    g = pull(found, x, y)
    assert np.abs(found).sum() == pytest.approx(1.5, abs=1e-12)
    same(solved(rt.L1(float(np.abs(g).max())), x, y), found)


def test_the_spectral_ball_by_optimality():
    """The pull is a matrix with the same singular vectors, positive where singular values are at the bound, 0 below."""
    x, y = problem(12, outputs=4)
    found = solved(rt.SpectralMax(0.9), x, y)
    left, values, right = np.linalg.svd(found, full_matrices=False)
    at = values > 0.9 - 1e-9
    assert 0 < at.sum() < 4
    g = pull(found, x, y)
    inner = left.T @ g @ right.T
    assert np.abs(g - left[:, at] @ inner[np.ix_(at, at)] @ right[at]).max() <= WITHIN
    assert np.abs(inner - inner.T)[np.ix_(at, at)].max() <= WITHIN
    assert np.linalg.eigvalsh(inner[np.ix_(at, at)]).min() > 0


def bisected(row: Array, total: float) -> Array:
    """max(w - t, 0) with the t of the sum `total`, by halving."""
    low, high = row.min() - total, row.max()
    for _ in range(200):
        t = (low + high) / 2
        low, high = (t, high) if np.maximum(row - t, 0).sum() > total else (low, t)
    return np.maximum(row - high, 0)


@pytest.mark.parametrize("scale", [0.01, 1.0, 1e4])
def test_projections_against_bisection(scale: float):
    w = scale * torch.randn(20, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for row, ours in zip(w.numpy(), rt.Simplex(1.5)(w).numpy(), strict=True):
        assert np.abs(ours - bisected(row, 1.5)).max() <= WITHIN
    outside = w[w.abs().sum(1) > 1.5]
    assert len(outside) in (0, 20)
    for row, ours in zip(outside.numpy(), rt.L1Ball(1.5)(outside).numpy(), strict=True):
        assert np.abs(ours - np.sign(row) * bisected(np.abs(row), 1.5)).max() <= WITHIN
