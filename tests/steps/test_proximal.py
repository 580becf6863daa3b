"""Proximal steps solve the penalised problem: compared with optimality conditions, and with scikit-learn."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn, optim
from torch.nn import functional as F
from torch.optim import Optimizer

import regtorch as rt
from nets import dense, weight_normed
from regtorch.steps.optimizers import step_size
from thinned import thinned

OPTIMIZERS: dict[str, Callable[[Iterable[Tensor]], Optimizer]] = {
    "SGD": lambda p: optim.SGD(p, 0.1),
    "SGD momentum": lambda p: optim.SGD(p, 0.02, momentum=0.8),
    "SGD dampened": lambda p: optim.SGD(p, 0.05, momentum=0.8, dampening=0.3),
    "SGD nesterov": lambda p: optim.SGD(p, 0.02, momentum=0.8, nesterov=True),
    "Adam": lambda p: optim.Adam(p, 0.01),
    "Adam amsgrad": lambda p: optim.Adam(p, 0.01, amsgrad=True),
    "AdamW": lambda p: optim.AdamW(p, 0.01, weight_decay=0.0),
    "NAdam": lambda p: optim.NAdam(p, 0.01),
    "Adamax": lambda p: optim.Adamax(p, 0.003),
    "RMSprop": lambda p: optim.RMSprop(p, 0.003),
    "RMSprop momentum": lambda p: optim.RMSprop(p, 0.002, momentum=0.5),
    "Adagrad": lambda p: optim.Adagrad(p, 0.3, lr_decay=1e-4),
    "Keras SGD": lambda p: rt.keras.SGD(p, 0.02, momentum=0.8),
    "Keras SGD nesterov": lambda p: rt.keras.SGD(p, 0.02, momentum=0.8, nesterov=True),
    "Keras Adam": lambda p: rt.keras.Adam(p, 0.01),
    "Keras Adam amsgrad": lambda p: rt.keras.Adam(p, 0.01, amsgrad=True),
    "Keras AdamW": lambda p: rt.keras.AdamW(p, 0.01, weight_decay=0.0),
    "Keras Nadam": lambda p: rt.keras.Nadam(p, 0.01),
    "Keras Adamax": lambda p: rt.keras.Adamax(p, 0.003),
    "Keras RMSprop": lambda p: rt.keras.RMSprop(p, 0.003),
    "Keras RMSprop momentum": lambda p: rt.keras.RMSprop(p, 0.002, momentum=0.5, centered=False),
    "Keras Adagrad": lambda p: rt.keras.Adagrad(p, 0.3),
    "Keras Adadelta": lambda p: rt.keras.Adadelta(p, 1.0, eps=1e-5),
}


def problem() -> tuple[Tensor, Tensor]:
    """Least squares with 5 relevant weights of 20."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 20, generator=generator, dtype=torch.float64)
    truth = torch.zeros(20, dtype=torch.float64)
    truth[:5] = torch.tensor([3.0, -2.0, 1.5, 1.0, -0.8])
    return x, x @ truth + 0.1 * torch.randn(200, generator=generator, dtype=torch.float64)


def descend(w: Tensor, optimizer: Optimizer, loss: Callable[[], Tensor], steps: int) -> None:
    """So many steps, or fewer where a weight has come to rest."""
    for _ in range(steps):
        before = w.detach().clone()
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
        if (w.detach() - before).abs().max() < 1e-9:
            return


def solve(make: Callable[[Iterable[Tensor]], Optimizer], rule: rt.Penalty, near: Any = 0) -> nn.Linear:
    """From weights around `near`, none of them 0: adaptive steps take long to come from far."""
    x, y = problem()
    model = nn.Linear(20, 1, bias=False).double()
    nn.init.normal_(model.weight, std=0.1, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        model.weight += torch.as_tensor(near)
    optimizer = make(model.parameters())
    rule.on(model).attach(optimizer, proximal=True)
    descend(model.weight, optimizer, lambda: 0.5 * (model(x).squeeze(1) - y).square().mean(), 500)
    return model


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_step_size_is_what_a_constant_gradient_meets(name: str):
    w = nn.Parameter(torch.zeros(3, dtype=torch.float64))
    optimizer = OPTIMIZERS[name]([w])
    before = w.detach().clone()
    for _ in range(300):
        before = w.detach().clone()
        w.grad = torch.tensor([0.5, -2.0, 10.0], dtype=torch.float64)
        optimizer.step()
    size = step_size(optimizer, optimizer.param_groups[0], w)
    torch.testing.assert_close(before - w.detach(), size * w.grad, rtol=1e-3, atol=0)


# One of each kind, in torch or in Keras: what the others add is their step size, which the test above compares for all.
KINDS = {
    *("SGD", "SGD momentum", "SGD nesterov", "Adam", "RMSprop", "Adagrad", "Adamax"),
    *("Keras SGD nesterov", "Keras Adam", "Keras Nadam", "Keras RMSprop momentum", "Keras Adadelta"),
}


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", thinned(OPTIMIZERS, lambda name: name in KINDS))
def test_lasso_optimum_with_exact_zeros(name: str):
    from sklearn.linear_model import Lasso

    x, y = problem()
    lasso = Lasso(alpha=0.1, fit_intercept=False, tol=1e-12, max_iter=100_000).fit(x.numpy(), y.numpy())
    model = solve(OPTIMIZERS[name], rt.L1(0.1), lasso.coef_)
    found = model.weight.detach().numpy()[0]
    assert np.abs(found - lasso.coef_).max() < 1e-3
    assert ((found == 0) == (lasso.coef_ == 0)).all()
    assert rt.L1(0.1).on(model).sparsity()["weight"] == pytest.approx((lasso.coef_ == 0).mean())


@pytest.mark.parametrize("name", ["SGD", "SGD momentum", "Adam"])
def test_elastic_net_optimum(name: str):
    from sklearn.linear_model import ElasticNet

    x, y = problem()
    net = ElasticNet(alpha=0.2, l1_ratio=0.5, fit_intercept=False, tol=1e-12, max_iter=100_000).fit(
        x.numpy(), y.numpy()
    )
    model = solve(OPTIMIZERS[name], rt.L1L2(l1=0.1, l2=0.05), net.coef_)
    assert np.abs(model.weight.detach().numpy()[0] - net.coef_).max() < 1e-3


@pytest.mark.parametrize("name", ["SGD", "SGD momentum", "Adam", pytest.param("RMSprop", marks=pytest.mark.slow)])
def test_group_lasso_optimum(name: str):
    """At the optimum the task's gradient is -λ√n w/‖w‖ on live units, and at most λ√n long on dead ones."""
    torch.manual_seed(0)
    x = torch.randn(300, 6, dtype=torch.float64)
    truth = torch.zeros(5, 6, dtype=torch.float64)
    truth[:2] = torch.randn(2, 6, dtype=torch.float64)
    y = x @ truth.T + 0.1 * torch.randn(300, 5, dtype=torch.float64)
    model = nn.Linear(6, 5, bias=False).double()
    nn.init.normal_(model.weight, std=0.1).data += truth  # adaptive steps take long to come from far
    optimizer = OPTIMIZERS[name](model.parameters())
    rt.GroupLasso(0.05).on(model).attach(optimizer, proximal=True)
    descend(model.weight, optimizer, lambda: 0.5 * (model(x) - y).square().sum(1).mean(), 700)
    strength = 0.05 * 6**0.5
    w, g = model.weight.detach(), model.weight.grad
    assert g is not None
    dead = (w == 0).all(1)
    assert dead.tolist() == [False, False, True, True, True]
    assert (g[dead].norm(dim=1) <= strength).all()
    live = strength * w[~dead] / w[~dead].norm(dim=1, keepdim=True)
    assert (g[~dead] + live).abs().max() < 5e-3


def test_penalty_gradients_make_no_exact_zeros_and_proximal_steps_do():
    x, y = problem()
    model = nn.Linear(20, 1, bias=False).double()
    optimizer = optim.SGD(model.parameters(), 0.1)
    reg = rt.L1(0.1).on(model)
    reg.attach(optimizer)
    for _ in range(500):
        optimizer.zero_grad()
        (0.5 * (model(x).squeeze(1) - y).square().mean()).backward()
        optimizer.step()
    assert reg.sparsity()["weight"] == 0
    assert rt.L1(0.1).on(solve(OPTIMIZERS["SGD"], rt.L1(0.1))).sparsity()["weight"] > 0.5


def test_transposed_convolutions_threshold_their_own_units():
    torch.manual_seed(0)
    up = nn.ConvTranspose2d(4, 6, 3, groups=2).double()
    with torch.no_grad():
        up.weight[:2, 0] = 1e-4  # the first unit of the first group
    for make in (OPTIMIZERS["SGD"], OPTIMIZERS["Adam"]):
        optimizer = make(up.parameters())
        handle = rt.GroupLasso(0.01).on(up).attach(optimizer, proximal=True)
        up(torch.zeros(1, 4, 2, 2, dtype=torch.float64)).sum().backward()
        optimizer.step()
        handle.remove()
        assert (up.weight[:2, 0] == 0).all()


def test_a_weight_that_was_not_stepped_is_left_alone():
    model, *_ = dense()
    optimizer = optim.Adam(model.parameters())
    rt.L1(1.0).on(model).attach(optimizer, proximal=True)
    before = model[2].weight.detach().clone()
    model[0](torch.ones(1, 6, dtype=torch.float64)).sum().backward()
    optimizer.step()
    assert torch.equal(model[2].weight, before)


def test_a_tiny_learning_rate_gives_no_nan():
    """float32, a step per coordinate of 20 orders of magnitude: the end of a cosine schedule under Adam."""
    for w, step in [([[1.0, 1.0]], [[1e30, 1e-30]]), ([[1.0, 1.0]], [[1e-18, 1e-20]]), ([[1e25, 1.0]], [[1.0, 1e-3]])]:
        v, t = torch.tensor(w), torch.tensor(step)
        found, exact = rt.GroupLasso(1.0).prox(v, t), rt.GroupLasso(1.0).prox(v.double(), t.double())
        assert found.isfinite().all()
        torch.testing.assert_close(found, exact.float(), rtol=1e-6, atol=0)


def test_the_first_step_may_be_skipped_for_infinite_gradients():
    for rule in (rt.L1(0.1), rt.L2(0.1), rt.GroupLasso(0.1)):
        model = nn.Linear(4, 3)
        before = model.weight.detach().clone()
        optimizer = optim.Adam(model.parameters(), 0.1, fused=True)
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        rule.on(model).attach(optimizer, proximal=True)
        scaler.scale(model(torch.full((2, 4), torch.inf)).sum()).backward()
        scaler.step(optimizer)
        assert torch.equal(model.weight, before)


@pytest.mark.parametrize("name", ["Adam", *(pytest.param(name, marks=pytest.mark.slow) for name in ("SGD", "Adagrad"))])
def test_a_compiled_step(name: str):
    results = []
    for compiled in (False, True):
        model, x, y = dense()
        optimizer = OPTIMIZERS[name](model.parameters())
        rt.L1(0.05).on(model).attach(optimizer, proximal=True)
        rt.GroupLasso(0.05, select="bias").on(model).attach(optimizer, proximal=True)
        step = torch.compile(optimizer.step, backend="eager") if compiled else optimizer.step
        for _ in range(3):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            step()
        results.append(list(model.parameters()))
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-6)  # compiled Adam rounds


def test_the_learning_rate_is_that_of_the_step():
    model = nn.Linear(3, 2, bias=False)
    groups = [{"params": [model.weight], "lr": torch.tensor(0.5)}]
    optimizer = optim.SGD(groups)
    schedule = optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.1)
    rt.L1(0.1).on(model).attach(optimizer, proximal=True)
    for lr in (0.5, 0.05):
        before = model.weight.detach().clone()
        model.weight.grad = torch.zeros_like(model.weight)
        optimizer.step()
        torch.testing.assert_close(model.weight.detach(), rt.L1(0.1).prox(before, lr))
        schedule.step()


def test_scale_and_strength_zero():
    model, x, y = dense()
    twin, *_ = dense()
    optimizer, other = optim.SGD(model.parameters(), 0.1), optim.SGD(twin.parameters(), 0.1)
    reg = rt.L1(1.0).on(model)
    reg.scale = 0
    reg.attach(optimizer, proximal=True)
    for m, o in ((model, optimizer), (twin, other)):
        F.cross_entropy(m(x), y).backward()
        o.step()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True))


def attach(rule: rt.Penalty, make: Callable[[Iterable[Tensor]], Optimizer], model: nn.Module | None = None) -> None:
    model = dense()[0] if model is None else model
    rule.on(model).attach(make(model.parameters()), proximal=True)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: attach(rt.L1(0.1), optim.Adadelta),
            TypeError,
            "unknown for Adadelta; use one of torch.optim's SGD",
        ),
        (lambda: attach(rt.Orthogonal(0.1), optim.Adam), TypeError, "Orthogonal has no proximal step in closed form"),
        (lambda: attach(rt.L1(0.1), optim.Adam, weight_normed()[0]), TypeError, "computed by a parametrization"),
    ],
)
def test_what_has_no_proximal_step_says_so(call: Callable[[], None], error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        call()


def test_a_subclass_may_do_anything():
    class Mine(optim.SGD):
        pass

    with pytest.raises(TypeError, match="unknown for Mine"):
        attach(rt.L1(0.1), lambda p: Mine(p, 0.1))


def test_a_subclass_of_ours_may_do_anything_too():
    class Mine(rt.keras.SGD):
        pass

    with pytest.raises(TypeError, match="unknown for Mine"):
        attach(rt.L1(0.1), lambda p: Mine(p, 0.1))
