"""The strength that empties weights: of the elastic net and of sparse groups."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import regtorch as rt
from regressions import regression, squared


@pytest.mark.parametrize("share", [1.0, 0.5, 0.01])
def test_the_elastic_net_ends_where_scikit_learns_does(share: float):
    from sklearn.linear_model import enet_path

    x, y = regression()
    model = nn.Linear(5, 1, bias=False).double()
    # ½·mean squared error + α·share Σ|w| + ½α(1 - share) Σw²
    alphas, coefficients, _ = enet_path(x.numpy(), y.numpy()[:, 0], l1_ratio=share, eps=0.9, alphas=9, tol=1e-12)
    rule = rt.L1L2(l1=0.3, l2=0.5)
    assert rt.lam_max(model, squared, [(x, y)], rule) == pytest.approx(alphas[0] * share, rel=1e-12)
    as_there = rt.lam_max(model, squared, [(x, y)], rt.ElasticNet(0.3, share))
    assert as_there == pytest.approx(alphas[0], rel=1e-12)
    assert abs(coefficients[:, 0]).max() == 0
    assert abs(coefficients[:, -1]).max() > 0


def by_sorting(g: Tensor, ratio: float) -> float:
    """‖S(g, rλ)‖² = p λ² is a quadratic equation for each number of entries above rλ."""
    v = g.abs().double().flatten().sort(descending=True).values
    for count in range(1, len(v) + 1):
        top, next_ = v[:count], float(v[count]) if count < len(v) else 0.0
        # Σ(v - rλ)² = pλ²:  (k r² - p) λ² - 2 r Σv λ + Σv² = 0
        a, b, c = count * ratio**2 - len(v), -2 * ratio * float(top.sum()), float(top.square().sum())
        roots = [-c / b] if a == 0 else [(-b + s * math.sqrt(max(0.0, b * b - 4 * a * c))) / (2 * a) for s in (1, -1)]
        for lam in roots:
            if lam >= 0 and next_ - 1e-12 <= ratio * lam <= float(top[-1]) + 1e-12:
                return lam
    raise AssertionError("no root")


@given(seed=st.integers(0, 2**32 - 1), ratio=st.floats(0.01, 100), scale=st.sampled_from([1e-30, 1e-3, 1.0, 1e6]))
def test_a_sparse_group_is_emptied_by_the_root(seed: int, ratio: float, scale: float):
    g = torch.randn(3, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found = float(rt.SparseGroupLasso(ratio * 0.2, 0.2).emptied_by(scale * g)) / scale
    assert found == pytest.approx(max(by_sorting(unit, ratio) for unit in g), rel=1e-7)


@given(seed=st.integers(0, 2**32 - 1), ratio=st.floats(0.01, 100))
def test_at_it_a_proximal_step_leaves_zeros_and_below_it_not(seed: int, ratio: float):
    g = torch.randn(3, 2, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    for dim in (None, 0, (1, 2)):
        lam = float(rt.SparseGroupLasso(ratio, 1.0, dim=dim).emptied_by(g))
        for factor, empty in ((1 + 1e-9, True), (1 - 1e-6, False)):
            stepped = rt.SparseGroupLasso(ratio * lam * factor, lam * factor, dim=dim).prox(-g, 1.0)
            assert bool((stepped == 0).all()) == empty


def test_edges():
    zero = torch.zeros(2, 3)
    assert float(rt.SparseGroupLasso().emptied_by(zero)) == 0
    g = torch.tensor([[3.0, 4.0]])
    assert float(rt.SparseGroupLasso(0.0, 1.0).emptied_by(g)) == pytest.approx(5 / 2**0.5)
    with pytest.raises(TypeError, match="lam must be above 0 to empty a weight"):
        rt.SparseGroupLasso(0.1, 0.0).emptied_by(g)
