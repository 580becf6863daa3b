"""The callback for skorch: clones, pickles, searches, and what it refuses; equality is in tests/trainers."""

from __future__ import annotations

import importlib
import pickle
from copy import deepcopy
from typing import Any

import pytest
import torch

import problem
import regtorch as rt

pytest.importorskip("skorch")
Regularize: Any = importlib.import_module("regtorch.skorch").Regularize
clone: Any = importlib.import_module("sklearn.base").clone
skorch_net: Any = importlib.import_module("skorch_net")
pytestmark = pytest.mark.filterwarnings("ignore")  # of skorch, about itself


def fitted(net: Any, how: str = "fit") -> Any:
    x, y = problem.inputs()
    return getattr(net, how)(x.numpy(), y.numpy())


def weights(net: Any) -> list[torch.Tensor]:
    return [p.detach().clone() for p in net.module_.parameters()]


def test_fit_twice_and_a_clone_are_the_same():
    first = fitted(skorch_net.classifier())
    expected = weights(first)
    copied = clone(first)
    for net in (fitted(first), fitted(copied)):
        assert all(torch.equal(p, q) for p, q in zip(weights(net), expected, strict=True))


def test_a_pickle_goes_on():
    first = fitted(skorch_net.classifier())
    copied = pickle.loads(pickle.dumps(first))
    for net in (first, copied):
        fitted(net, "partial_fit")
    assert all(torch.equal(p, q) for p, q in zip(weights(first), weights(copied), strict=True))
    plain = skorch_net.classifier().set_params(callbacks__regularize__rules=[rt.L2(0.0)])
    assert not torch.allclose(weights(fitted(plain))[0], weights(first)[0])


def test_the_history_has_the_penalty():
    net = fitted(skorch_net.classifier())
    assert net.history[-1, "penalty"] == pytest.approx(rt.L2(1e-3).on(net.module_)().item(), rel=1e-6)
    assert not net.optimizer_._optimizer_step_pre_hooks


@pytest.mark.parametrize(
    ("changed", "value"), [("rules", [rt.L2(0.3)]), ("schedule", lambda step: 3.0), ("proximal", True)]
)
def test_a_parameter_that_is_set_after_fit_counts_from_then_on(changed: str, value: Any):
    def made(**options: Any) -> Any:
        return skorch_net.classifier().set_params(callbacks=[("regularize", Regularize(**options))])

    first = fitted(made(rules=[rt.L2(0.1)]))
    second = made(**{"rules": [rt.L2(0.1)], changed: value}).initialize()
    second.module_.load_state_dict(first.module_.state_dict())
    second.optimizer_.load_state_dict(deepcopy(first.optimizer_.state_dict()))
    first.set_params(**{f"callbacks__regularize__{changed}": value})
    for net in (first, second):
        fitted(net, "partial_fit")
    assert all(torch.equal(p, q) for p, q in zip(weights(first), weights(second), strict=True))


@pytest.mark.parametrize("warm", [False, True])
def test_a_training_that_goes_on_keeps_its_starting_point(warm: bool):
    def made(epochs: int) -> Any:
        net = skorch_net.classifier().set_params(max_epochs=epochs, warm_start=warm)
        return net.set_params(callbacks__regularize__rules=[rt.L2SP(0.3)])

    whole, parts = fitted(made(6)), made(2)
    for _ in range(3):
        fitted(parts, "fit" if warm else "partial_fit")
    assert all(torch.equal(p, q) for p, q in zip(weights(whole), weights(parts), strict=True))
    again = fitted(parts.set_params(warm_start=False, max_epochs=6))  # a new net
    assert all(torch.equal(p, q) for p, q in zip(weights(whole), weights(again), strict=True))


def test_two_callbacks_record_the_sum():
    net = skorch_net.classifier()
    shrinking = Regularize([rt.L1(1e-2, select="kernel name:2.*")], proximal=True)
    net.set_params(callbacks=[("gradient", Regularize([rt.L2(1e-3)])), ("proximal", shrinking)])
    fitted(net)
    expected = rt.L2(1e-3).on(net.module_)() + rt.L1(1e-2, select="kernel name:2.*").on(net.module_)()
    assert net.history[-1, "penalty"] == pytest.approx(expected.item(), rel=1e-6)
    assert net.module_[2].weight.eq(0).any()


@pytest.mark.parametrize(
    ("rules", "error", "match"),
    [
        ([], ValueError, r"Regularize: rules must be a list such as \[rt.L2\(1e-4\)\], received \[\]"),
        (rt.L2(0.1), ValueError, "rules must be a list"),
        ("l2", ValueError, "rules must be a list"),
        (
            [rt.Activity(rt.L1(0.1), select="type:Tanh")],
            TypeError,
            r"an Activity .*; add it to the loss in NeuralNet.get_loss",
        ),
        ([rt.L2SP(0.1, select="norm")], rt.select.SelectionError, "matches no"),
        ([rt.L2(0.1, select="norm")], rt.select.SelectionError, "matches no"),
    ],
)
def test_refused(rules: Any, error: type[Exception], match: str):
    net = skorch_net.classifier().set_params(callbacks__regularize__rules=rules)
    with pytest.raises(error, match=match):
        fitted(net)
    fine = fitted(skorch_net.classifier()).set_params(callbacks__regularize__rules=rules)
    with pytest.raises(error, match=match):
        fitted(fine, "partial_fit")
