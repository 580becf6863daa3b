"""Penalties that need more than a weight: its start, Fisher information, neighbours; and what estimates them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn, optim
from torch.nn import functional as F

import regtorch as rt
from nets import dense
from regressions import regression, squared
from regtorch.testing import check_penalty

close = torch.testing.assert_close


def solve(model: nn.Module, x: Tensor, y: Tensor, reg: Callable[[], Tensor]) -> None:
    optimizer = optim.LBFGS(model.parameters(), max_iter=200, tolerance_grad=1e-13, tolerance_change=1e-15)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = squared(model(x), y) + reg()
        loss.backward()
        return loss

    optimizer.step(closure)


def test_l2sp_against_the_closed_form():
    x, y = regression()
    model = nn.Linear(5, 1, bias=False).double()
    start = model.weight.detach().clone()
    solve(model, x, y, rt.L2SP(0.3).on(model))
    # xᵀ(xw - y)/n + 2λ(w - w₀) = 0
    left = x.T @ x / 60 + 0.6 * torch.eye(5, dtype=torch.float64)
    exact = torch.linalg.solve(left, x.T @ y / 60 + 0.6 * start.T)
    close(model.weight.detach(), exact.T, rtol=1e-7, atol=1e-9)


def test_ewc_against_the_closed_form_with_its_fisher_information():
    x, y = regression()
    model = nn.Linear(5, 1, bias=False).double()
    first = model.weight.detach().clone()
    fisher = rt.fisher(model, squared, [(x[:30], y[:30]), (x[30:], y[30:])])
    residual = x @ first.T - y
    close(fisher["weight"], (residual * x).square().mean(0)[None])
    solve(model, x, y, rt.EWC(0.3, fisher).on(model))
    weights = 0.6 * fisher["weight"][0]
    exact = torch.linalg.solve(x.T @ x / 60 + weights.diag(), x.T @ y / 60 + (weights * first[0])[:, None])
    close(model.weight.detach(), exact.T, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("rule", [rt.L2SP(0.2), rt.L2SP(0.2, select="all")], ids=str)
def test_the_ways_agree(rule: rt.L2SP):
    results = []
    for way in (1, 2, 3, "proximal"):
        model, x, y = dense()
        reg = rule.on(model)
        assert reg() == 0
        with torch.no_grad():
            for p in model.parameters():
                p.mul_(1.5)
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        if way in (3, "proximal"):
            reg.attach(optimizer, proximal=way == "proximal")
        loss = F.cross_entropy(model(x), y)
        (loss + reg() if way == 1 else loss).backward()
        if way == 2:
            reg.add_grad_()
        optimizer.step()
        results.append([p.detach() for p in model.parameters()])
    close(results[1], results[0], rtol=1e-12, atol=1e-14)
    close(results[2], results[0], rtol=1e-12, atol=1e-14)
    check_penalty(rule, smooth=True)


def test_the_start_may_be_given_and_is_checked():
    model, *_ = dense()
    state = {name: torch.zeros_like(p) for name, p in model.state_dict().items()}
    close(rt.L2SP(0.1, state).on(model)(), rt.L2(0.1).on(model)())
    close(rt.L2SP(0.1, torch.zeros(2))(torch.ones(2)), torch.tensor(0.2))
    with pytest.raises(ValueError, match=r"start must hold a tensor of shape \(5, 6\) for the weight '0.weight', rec"):
        rt.L2SP(0.1, {}).on(model)
    with pytest.raises(ValueError, match=r"fisher must hold a tensor of shape \(5, 6\).*received \(2,\)"):
        rt.EWC(0.1, {"0.weight": torch.zeros(2)}).on(model)
    with pytest.raises(TypeError, match="needs the weights w₀"):
        rt.L2SP(0.1)(torch.ones(2))
    with pytest.raises(ValueError, match="for the weight '0.weight', received nothing; give a dict"):
        rt.L2SP(0.1, {}).on(model)
    with pytest.raises(ValueError, match="for the weight '0.weight', received 3; give a dict"):
        rt.L2SP(0.1, {"0.weight": 3}).on(model)


def test_they_compare_and_print_without_what_they_hold():
    state = {"weight": torch.zeros(2)}
    assert repr(rt.L2SP(0.1, state)) == "L2SP(lam=0.1)"
    assert repr(rt.EWC(0.1, state, state)) == "EWC(lam=0.1)"
    assert rt.L2SP() == rt.L2SP(0.01) != rt.L2SP(0.2)
    assert rt.EWC().lam == rt.TotalVariation().lam == 0.01
    for kind in (rt.L2SP, rt.EWC):
        assert kind(0.1, state) == kind(0.1, state) != kind(0.1, {"weight": torch.zeros(2)})
        with pytest.raises(dataclasses.FrozenInstanceError):
            kind(0.1).lam = 0.2


def test_the_weights_to_measure_from_lie_as_the_model_has_them():
    up = nn.ConvTranspose2d(4, 6, 3, groups=2).double()
    start = {"weight": torch.randn_like(up.weight)}
    fisher = {"weight": torch.rand_like(up.weight)}
    reg = rt.EWC(0.3, fisher, start).on(up)
    close(reg(), 0.3 * (fisher["weight"] * (up.weight - start["weight"]).square()).sum())
    check_penalty(rt.EWC(0.3, torch.rand(3, 5), torch.randn(3, 5)), smooth=True, shapes=[(3, 5)])


def test_fisher_leaves_the_net_as_it_was():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2))
    model[2].eval()
    before = {name: t.clone() for name, t in model.state_dict().items()}
    found = rt.fisher(model, F.cross_entropy, [(torch.randn(4, 3), torch.randint(2, (4,)))], select="kernel")
    assert list(found) == ["0.weight", "3.weight"]
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert [m.training for m in model] == [True, True, False, True]
    assert all(p.grad is None for p in model.parameters())
    with pytest.raises(ValueError, match="fisher: batches is empty"):
        rt.fisher(model, F.cross_entropy, [])


def test_lam_max_is_scikit_learns():
    from sklearn.linear_model import Lasso

    x, y = regression()
    model = nn.Linear(5, 1).double()
    with torch.no_grad():
        model.bias.copy_(y.mean())  # at its optimum for weights of 0
    centred = x - x.mean(0)
    found = rt.lam_max(model, squared, [(centred[:30], y[:30]), (centred[30:], y[30:])], rt.L1())
    for factor, empty in ((1.000001, True), (0.999, False)):
        coefficients = Lasso(alpha=found * factor, tol=1e-12).fit(x.numpy(), y.numpy()[:, 0]).coef_
        assert (np.abs(coefficients).max() == 0) == empty


def test_lam_max_of_groups_and_ranks():
    x, y = regression()
    y = torch.cat([y, 0.3 * y], 1)
    model = nn.Linear(5, 2, bias=False).double()
    g = -(y.T @ x) / 120
    for rule, expected in (
        (rt.GroupLasso(), g.norm(dim=1).max() / 5**0.5),
        (rt.GroupLasso(dim=0), g.norm(dim=0).max() / 2**0.5),
        (rt.NuclearNorm(), torch.linalg.matrix_norm(g, 2)),
        (rt.L1(), g.abs().max()),
        (rt.L1L2(l2=7.0), g.abs().max()),
    ):
        assert rt.lam_max(model, squared, [(x, y)], rule) == pytest.approx(float(expected))
    before = model.weight.clone()
    with pytest.raises(TypeError, match="L2 has no strength known to empty a weight"):
        rt.lam_max(model, squared, [(x, y)], rt.L2())
    assert torch.equal(model.weight, before)


def test_nuclear_norm_thresholds_singular_values():
    torch.manual_seed(0)
    w = torch.randn(6, 4, dtype=torch.float64)
    u, s, v = np.linalg.svd(w.numpy(), full_matrices=False)
    exact = u @ np.diag(np.maximum(s - 0.3 * 1.5, 0)) @ v
    close(rt.NuclearNorm(0.3).prox(w, 1.5), torch.from_numpy(exact), rtol=1e-10, atol=1e-12)
    model = nn.Linear(4, 6).double()
    rt.NuclearNorm(0.3).on(model).attach(optim.SGD(model.parameters(), lr=0.1), proximal=True)
    with pytest.raises(TypeError, match="one step size for the entire weight, but Adam has one per"):
        rt.NuclearNorm(0.3).on(model).attach(optim.Adam(model.parameters()), proximal=True)


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_total_variation(dim: int):
    torch.manual_seed(0)
    w = torch.randn(5, 4, dtype=torch.float64)
    rule = rt.TotalVariation(0.3, dim)
    close(rule(w), torch.tensor(0.3 * np.abs(np.diff(w.numpy(), axis=dim)).sum()))
    check_penalty(rule, shapes=[(3, 5), (4, 3)])
    model = nn.Linear(4, 5).double()
    reg = rule.on(model)
    close(reg(), 0.3 * model.weight.diff(dim=dim).abs().sum())
    assert rule(torch.ones(3, 3)) == 0
    with pytest.raises(ValueError, match="dim must name a dim of the weight, received dim=3"):
        rt.TotalVariation(0.3, 3)(w)
    with pytest.raises(TypeError, match="dim must be an int"):
        rt.TotalVariation(0.3, 1.0)


def test_spectral_norm_of_a_hard_matrix():
    torch.manual_seed(0)
    for shape in ((40, 60), (60, 40), (1, 7), (7, 1)):
        w = torch.randn(shape, dtype=torch.float64)
        u, s, v = torch.linalg.svd(w, full_matrices=False)
        close(rt.SpectralNorm(0.3)(w), 0.3 * s[0], rtol=1e-12, atol=0)
        w = w + 5 * torch.outer(u[:, 0], v[0])  # apart from the next one, where the vectors are determined
        close(rt.SpectralNorm(0.3).grad(w), 0.3 * torch.outer(u[:, 0], v[0]), rtol=1e-9, atol=1e-12)
    assert rt.SpectralNorm(1.0)(torch.zeros(3, 3)) == 0
    close(rt.SpectralNorm(1.0)(torch.eye(4)), torch.tensor(1.0))


def test_param_groups():
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 3), nn.LayerNorm(3), nn.Linear(3, 2))
    model[3].bias.requires_grad_(False)
    groups = rt.param_groups(model, 0.1, lr=0.01)
    assert [g["weight_decay"] for g in groups] == [0.1, 0.0]
    assert all(g["lr"] == 0.01 for g in groups)
    assert groups[0]["params"] == [model[1].weight, model[3].weight]
    owned = [id(p) for g in groups for p in g["params"]]
    assert sorted(owned) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    assert "left out" in groups.receipt()
    assert "weight_decay=0.1" in groups.receipt()
    ours, theirs = nn.Linear(3, 2), nn.Linear(3, 2)
    theirs.load_state_dict(ours.state_dict())
    by_hand = [{"params": [theirs.weight], "weight_decay": 0.1}, {"params": [theirs.bias], "weight_decay": 0.0}]
    for net, made in ((ours, rt.param_groups(ours, 0.1)), (theirs, by_hand)):
        optimizer = optim.AdamW(made, lr=0.1)
        net(torch.ones(1, 3)).sum().backward()
        optimizer.step()
    assert torch.equal(ours.weight, theirs.weight)
    assert torch.equal(ours.bias, theirs.bias)
    assert len(rt.param_groups(model, 0.1, select="all")) == 1
    for wrong in (-1.0, "0.1"):
        with pytest.raises((TypeError, ValueError), match="param_groups: weight_decay must be"):
            rt.param_groups(model, wrong)


def test_an_optimizer_of_ones_own():
    class Mine(optim.SGD):
        """Plain gradient descent."""

    model, *_ = dense()
    with pytest.raises(TypeError, match=r"unknown for Mine.*rt\.register_optimizer"):
        rt.L1(0.1).on(model).attach(Mine(model.parameters(), lr=0.1), proximal=True)
    rt.register_optimizer(Mine, step_size=lambda group, state: group["lr"], elementwise=True, one_step_size=True)
    twin, *_ = dense()
    for net, kind in ((model, Mine), (twin, optim.SGD)):
        optimizer = kind(net.parameters(), lr=0.1)
        rt.L1(0.1).on(net).attach(optimizer, proximal=True)
        for p in net.parameters():
            p.grad = torch.ones_like(p)
        optimizer.step()
    close(list(model.parameters()), list(twin.parameters()), rtol=0, atol=0)
    for wrong in (Mine(model.parameters(), lr=0.1), int, "SGD"):
        with pytest.raises(TypeError, match="cls must be a subclass of torch.optim.Optimizer"):
            rt.register_optimizer(wrong)
    with pytest.raises(TypeError, match="step_size must be a function"):
        rt.register_optimizer(Mine, step_size=0.1)
