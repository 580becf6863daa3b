"""scikit-learn's solutions, reached by training in PyTorch with the strength that `convert` gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from comparing import Compare
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import LBFGS, SGD

import regtorch as rt

linear_model = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is in the extra `train`")
neural_network = pytest.importorskip("sklearn.neural_network", reason="scikit-learn is in the extra `train`")

Array = NDArray[np.float64]
Loss = Callable[[Tensor, Tensor], Tensor]

SAMPLES, FEATURES = 80, 10


def features() -> Array:
    """Well-conditioned, not centred."""
    return np.random.default_rng(0).standard_normal((SAMPLES, FEATURES)) + 0.3


def numbers(x: Array) -> Array:
    """What depends on four of the features."""
    truth = np.zeros(FEATURES)
    truth[:4] = 3.0, -2.0, 1.0, 0.5
    return x @ truth + 0.7 + 0.5 * np.random.default_rng(1).standard_normal(SAMPLES)


def classes(x: Array, n: int) -> NDArray[np.int64]:
    scores = x[:, :n] + 0.5 * np.random.default_rng(2).standard_normal((SAMPLES, n))
    return scores.argmax(1)


def mse(output: Tensor, target: Tensor) -> Tensor:
    return F.mse_loss(output.squeeze(1), target)


def linear(outputs: int = 1) -> nn.Linear:
    model = nn.Linear(FEATURES, outputs).double()
    for p in model.parameters():
        nn.init.zeros_(p)
    return model


def minimise(model: nn.Module, rule: rt.Penalty, loss: Loss, x: Array, y: NDArray[Any]) -> None:
    """A smooth problem, by quasi-Newton steps: along lines first, then by gradients alone, down to rounding."""
    inputs, targets = torch.from_numpy(x), torch.from_numpy(y)
    optimizer = LBFGS(
        model.parameters(), max_iter=100, tolerance_grad=1e-15, tolerance_change=1e-14, line_search_fn="strong_wolfe"
    )
    reg = rule.on(model)

    def closure() -> Tensor:
        optimizer.zero_grad()
        total = loss(model(inputs), targets) + reg()
        total.backward()
        return total

    optimizer.step(closure)
    optimizer.param_groups[0]["line_search_fn"] = None
    optimizer.param_groups[0]["tolerance_change"] = 0.0
    optimizer.step(closure)


def minimise_by_proximal_steps(model: nn.Module, rule: rt.Penalty, x: Array, y: Array, steps: int = 400) -> None:
    """A problem with kinks, by gradient steps on the loss and proximal ones on the penalty."""
    inputs, targets = torch.from_numpy(x), torch.from_numpy(y)
    optimizer = SGD(model.parameters(), lr=0.15)
    rule.on(model).attach(optimizer, proximal=True)
    for _ in range(steps):
        optimizer.zero_grad()
        mse(model(inputs), targets).backward()
        optimizer.step()


def found(model: nn.Linear) -> Array:
    """Coefficients and intercepts in one array."""
    return torch.cat([model.weight, model.bias[:, None]], 1).detach().numpy()


def theirs(estimator: Any) -> Array:
    return np.column_stack([np.atleast_2d(estimator.coef_), np.atleast_1d(estimator.intercept_)])


@pytest.mark.parity("Ridge: coefficients", "scikit-learn")
@pytest.mark.parametrize("alpha", [0.0, 0.1, 10.0, 1000.0])
def test_ridge(alpha: float, compare: Compare):
    x = features()
    y = numbers(x)
    model = linear()
    minimise(model, rt.L2(rt.convert(alpha, "sklearn.Ridge", "keras", samples=SAMPLES)), mse, x, y)
    compare(found(model), theirs(linear_model.Ridge(alpha, solver="cholesky").fit(x, y)), within=1e-12)


@pytest.mark.parity("Lasso: coefficients, and the same zeros", "scikit-learn")
@pytest.mark.parametrize("alpha", [0.02, 0.2, 1.0])
def test_lasso(alpha: float, compare: Compare):
    x = features()
    y = numbers(x)
    model = linear()
    minimise_by_proximal_steps(model, rt.L1(rt.convert(alpha, "sklearn.Lasso", "keras")), x, y)
    lasso = linear_model.Lasso(alpha, tol=1e-14, max_iter=100_000).fit(x, y)
    compare(found(model), theirs(lasso), within=1e-12)
    assert ((found(model)[0, :-1] == 0) == (lasso.coef_ == 0)).all()
    assert (lasso.coef_ == 0).any()


@pytest.mark.parity("ElasticNet: coefficients, and the same zeros", "scikit-learn")
@pytest.mark.parametrize(("alpha", "l1_ratio"), [(0.05, 0.9), (0.5, 0.5), (0.5, 0.1), (0.2, 1.0)])
def test_elastic_net(alpha: float, l1_ratio: float, compare: Compare):
    x = features()
    y = numbers(x)
    model = linear()
    l1, l2 = rt.convert((alpha, l1_ratio), "sklearn.ElasticNet", "keras")
    minimise_by_proximal_steps(model, rt.L1L2(l1=l1, l2=l2), x, y)
    net = linear_model.ElasticNet(alpha=alpha, l1_ratio=l1_ratio, tol=1e-14, max_iter=100_000).fit(x, y)
    compare(found(model), theirs(net), within=1e-12)
    assert ((found(model)[0, :-1] == 0) == (net.coef_ == 0)).all()


@pytest.mark.parity("LogisticRegression: coefficients", "scikit-learn")
@pytest.mark.parametrize("c", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_logistic_regression(n_classes: int, c: float, compare: Compare):
    x = features()
    y = classes(x, n_classes)
    rule = rt.L2(rt.convert(c, "sklearn.LogisticRegression", "keras", samples=SAMPLES))
    estimator = linear_model.LogisticRegression(C=c, solver="newton-cholesky", tol=1e-12, max_iter=1000).fit(x, y)
    if n_classes == 2:
        model = linear()
        minimise(model, rule, lambda z, t: F.binary_cross_entropy_with_logits(z.squeeze(1), t.double()), x, y)
        compare(found(model), theirs(estimator), within=1e-11)
    else:  # intercepts are free to move together
        model = linear(n_classes)
        minimise(model, rule, F.cross_entropy, x, y)
        compare(model.weight, estimator.coef_, within=1e-11)
        compare(model.bias - model.bias.mean(), estimator.intercept_ - estimator.intercept_.mean(), within=1e-11)


def copied(estimator: Any) -> nn.Sequential:
    """A network of PyTorch's with the weights that an MLP of scikit-learn has now."""
    layers: list[nn.Module] = []
    for kernel, bias in zip(estimator.coefs_, estimator.intercepts_, strict=True):
        layer = nn.Linear(*kernel.shape).double()
        layer.weight.data, layer.bias.data = torch.from_numpy(kernel.T.copy()), torch.from_numpy(bias.copy())
        layers += [layer, nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def half_mse(output: Tensor, target: Tensor) -> Tensor:
    return mse(output, target) / 2


@pytest.mark.parity("MLP: weights after 40 steps", "scikit-learn")
@pytest.mark.parametrize("alpha", [0.0, 0.3, 3.0])
@pytest.mark.parametrize(("name", "loss"), [("MLPClassifier", F.cross_entropy), ("MLPRegressor", half_mse)])
def test_mlp_step_by_step(name: str, loss: Loss, alpha: float, compare: Compare):
    batch, epochs, lr = 16, 8, 0.1
    x = features()
    y = classes(x, 3) if name == "MLPClassifier" else numbers(x)
    estimator = getattr(neural_network, name)(
        hidden_layer_sizes=(6,), activation="tanh", solver="sgd", alpha=alpha, batch_size=batch, learning_rate_init=lr,
        momentum=0.0, shuffle=False, random_state=0,
    )  # fmt: skip
    estimator.partial_fit(x, y, **({"classes": np.unique(y)} if name == "MLPClassifier" else {}))
    model = copied(estimator)
    optimizer = SGD(model.parameters(), lr)
    rt.L2(rt.convert(alpha, "sklearn.MLP", "keras", batch=batch)).on(model).attach(optimizer)
    before = model[0].weight.detach().clone()
    for _ in range(epochs):
        estimator.partial_fit(x, y)
        for inputs, targets in zip(torch.from_numpy(x).split(batch), torch.from_numpy(y).split(batch), strict=True):
            optimizer.zero_grad()
            loss(model(inputs), targets).backward()
            optimizer.step()
    for layer, kernel, bias in zip(model[::2], estimator.coefs_, estimator.intercepts_, strict=True):
        compare(layer.weight, kernel.T, within=1e-12)
        compare(layer.bias, bias, within=1e-12)
    assert (model[0].weight - before).abs().max() > 1e-2
