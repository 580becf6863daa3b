"""The proximal step of total variation against a solver of its dual; parts; the fused lasso."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn, optim

import regtorch as rt
from regtorch.penalties.levels import smoothed
from ways import close


def by_its_dual(w: Tensor, links: Tensor) -> np.ndarray:
    """W - Dᵀu with the u of least ‖w - Dᵀu‖ among |u| ≤ links."""
    from scipy.optimize import lsq_linear

    kept = links.numpy() > 0
    steps = np.diff(np.eye(len(w)), axis=0)[kept]
    bounds = links.numpy()[kept]
    if not kept.any():
        return w.numpy()
    u = lsq_linear(steps.T, w.numpy(), bounds=(-bounds, bounds), method="bvls", tol=1e-15, max_iter=1000).x
    return w.numpy() - steps.T @ u


@st.composite
def rows_and_links(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    shape = draw(st.sampled_from([(3, 2), (2, 5), (1, 9), (4, 14)]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    w = torch.randn(shape, generator=generator, dtype=torch.float64)
    if draw(st.booleans()):  # ties
        w = (2 * w).round()
    links = torch.rand((shape[0], shape[1] - 1), generator=generator, dtype=torch.float64)
    links = links * draw(st.sampled_from([0.1, 1.0, 5.0]))
    links = links.max().expand_as(links).clone() if draw(st.booleans()) else links
    if draw(st.booleans()):
        links = links * (torch.rand(links.shape, generator=generator) > 0.3)
    scale = 10.0 ** draw(st.integers(-6, 6))
    return w * scale, links * scale


@given(case=rows_and_links())
@settings(deadline=None)
def test_level_sets_find_the_minimum(case: tuple[Tensor, Tensor]):
    w, links = case
    z = smoothed(w, links)
    for row, link, ours in zip(w, links, z, strict=True):
        assert np.abs(ours.numpy() - by_its_dual(row, link)).max() <= 1e-12 * (1e-300 + float(w.abs().max()))
    many = torch.vmap(smoothed)(w[:, None], links[:, None])[:, 0]  # where nothing may be looked at
    close(many, z, rtol=0, atol=1e-13 * float(w.abs().max()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_neighbours_become_equal_to_the_bit(dtype: torch.dtype):
    w = torch.randn(50, 40, generator=torch.Generator().manual_seed(0)).to(dtype)
    z = rt.TotalVariation(0.5).prox(w, 1.0)
    assert z.dtype == dtype
    exact = rt.TotalVariation(0.5).prox(w.double(), 1.0)
    equal = exact.diff() == 0
    assert 0.3 < equal.double().mean() < 1
    assert (z.diff()[equal] == 0).all()
    close(z.double(), exact, rtol=2 * torch.finfo(dtype).eps, atol=4 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("dim", [0, 1, -1, 2])
def test_the_step_goes_along_its_dim(dim: int):
    w = torch.randn(4, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    z = rt.TotalVariation(0.3, dim).prox(w, 0.5)
    rows, found = (t.movedim(dim, -1).reshape(-1, w.shape[dim]) for t in (w, z))
    for row, ours in zip(rows, found, strict=True):
        links = torch.full((len(row) - 1,), 0.15, dtype=torch.float64)
        assert np.abs(ours.numpy() - by_its_dual(row, links)).max() <= 1e-12


def test_of_a_part_neighbours_that_are_both_in_it_are_compared():
    w = torch.randn(6, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mask = torch.rand(6, 9, generator=torch.Generator().manual_seed(1)) > 0.3
    both = mask[:, 1:] & mask[:, :-1]
    rule = rt.masked(rt.TotalVariation(0.3), mask)
    close(rule(w), 0.3 * w.diff()[both].abs().sum())
    leaf = w.clone().requires_grad_()
    (0.3 * leaf.diff()[both].abs().sum()).backward()
    close(rule.grad(w), leaf.grad)
    z = rule.prox(w, 0.5)
    assert torch.equal(z[~mask], w[~mask])
    for row, link, ours in zip(w, 0.15 * both.double(), z, strict=True):
        assert np.abs(ours.numpy() - by_its_dual(row, link)).max() <= 1e-12


def test_the_fused_lasso_is_the_sum():
    w = torch.randn(3, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rule, variation = rt.FusedLasso(0.2, 0.3), rt.TotalVariation(0.3)
    close(rule(w), rt.L1(0.2)(w) + variation(w))
    close(rule.grad(w), rt.L1(0.2).grad(w) + variation.grad(w))
    close(rule.prox(w, 0.5), rt.L1(0.2).prox(variation.prox(w, 0.5), 0.5))
    for case in (rule, rt.FusedLasso(0.2, 0.3, 0), variation, rt.FusedLasso(0.2, 0.0), rt.FusedLasso(0.0, 0.3)):
        rt.testing.check_penalty(case, shapes=[(3, 5), (4, 3), (1, 2), (2, 1)])
    assert repr(rule) == "FusedLasso(l1=0.2, lam=0.3, dim=-1)"
    parts = [strength * one(w) for one, strength in rule.of_strength_one()]
    close(sum(parts), rule(w))


def test_together_with_l2_and_not_with_what_is_not_known():
    net = nn.Linear(6, 3).double()
    before = net.weight.detach().clone()
    optimizer = optim.SGD(net.parameters(), lr=0.5)
    (rt.L2(0.1).on(net) + rt.TotalVariation(0.2).on(net)).attach(optimizer, proximal=True)
    net.weight.grad = torch.zeros_like(net.weight)
    optimizer.step()
    # of λ TV(z) + b Σz² + Σ(z - w)²/2t: TV's step of size t/(1 + 2tb) from w/(1 + 2tb)
    close(net.weight.detach(), rt.TotalVariation(0.2).prox(before / 1.1, 0.5 / 1.1))
    other = nn.Linear(6, 3)
    with pytest.raises(ValueError, match="the sum of L1 and TotalVariation on 'weight' is unknown"):
        (rt.L1(0.1).on(other) + rt.TotalVariation(0.2).on(other)).attach(
            optim.SGD(other.parameters(), lr=0.1), proximal=True
        )
    with pytest.raises(TypeError, match="one step size for the entire weight, but Adam has one per"):
        rt.TotalVariation(0.2).on(other).attach(optim.Adam(other.parameters()), proximal=True)
    with pytest.raises(TypeError, match="FusedLasso has no proximal step with a step size per element"):
        rt.FusedLasso(0.2).prox(before, torch.ones_like(before))


@pytest.mark.parametrize("shape", [(0,), (1,), (0, 3), (3, 0), (3, 1), (2, 0, 3)])
def test_odd_shapes(shape: tuple[int, ...]):
    w = torch.ones(shape)
    for dim in range(-1, len(shape)):
        assert torch.equal(rt.TotalVariation(0.5, dim).prox(w, 1.0), w)
        assert rt.TotalVariation(0.5, dim)(w) == 0


def test_what_is_not_finite_stays_seen():
    w = torch.tensor([[torch.nan, 1.0, 2.0], [0.0, 3.0, 1.0]])
    z = rt.TotalVariation(0.5).prox(w, 1.0)
    assert z[0].isnan().any()
    close(z[1], torch.tensor([0.5, 2.0, 1.5]))
