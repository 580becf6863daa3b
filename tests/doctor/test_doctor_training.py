"""`rt.diagnose` in training: weights without a gradient, rates, optimizers, nets that have learnt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Adam, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LinearLR

import regtorch as rt
from doctor_cases import causes, grave
from doctor_patients import changed, conv, diagnosed, filled, pictures, shallow, vectors

# Weights without a gradient


class Cut(nn.Module):
    def __init__(self, cut: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.features, self.head, self.cut = shallow()[0], shallow()[2], cut

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cut(self.features(x).relu()))


class WithUnused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.unused = shallow(), nn.Linear(300, 300)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


@pytest.mark.parametrize("rules", [(), (rt.L2(0.05),)])
def test_weights_that_are_cut_off_are_named_before_their_penalty(rules: tuple[rt.Penalty, ...]):
    found = diagnosed(Cut(Tensor.detach), *rules)
    assert (found[0].cause, found[0].severity) == ("no_gradient_reaches", "severe")
    assert found[0].where == "features.weight, features.bias"
    assert not any("features" in f.where for f in found if f.cause in ("penalty_dominates", "collapse"))


def test_rounding_cuts_gradients_off_too():
    assert grave(diagnosed(Cut(torch.round))) == {"no_gradient_reaches": "warning"}


def test_a_penalty_on_an_unused_layer_is_not_to_blame():
    found = diagnosed(WithUnused(), rt.L2(1e-4))
    assert grave(found) == {"no_gradient_reaches": "severe"}
    assert found[0].where == "unused.weight, unused.bias"


# Rates


@pytest.mark.parametrize("kind", ["function", "line"])
def test_a_warm_up_is_watched_at_its_rate(kind: str):
    model = shallow()
    optimizer = SGD(model.parameters(), lr=0.1)
    LambdaLR(optimizer, lambda s: min(1, s / 100)) if kind == "function" else LinearLR(optimizer, 1e-8, 1, 100)
    found = diagnosed(model, by=optimizer)
    assert grave(found) == {}
    assert causes(found)["rate_scheduled"] == "info"


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_a_group_that_stands_still_is_named(kind: type[Optimizer]):
    model = shallow()
    (found,) = [
        f
        for f in diagnosed(
            model,
            by=kind([{"params": model[0].parameters(), "lr": 0.0}, {"params": model[2].parameters(), "lr": 1e-2}]),
        )
        if f.severity != "info"
    ]
    assert (found.cause, found.where, found.numbers["group"]) == ("rate_too_small", "0.weight", 0)


def test_weights_that_start_at_0_have_no_scale():
    assert "rate_too_large" not in causes(diagnosed(changed(nn.Linear(20, 4), filled(0))))
    zero = changed(conv(nn.BatchNorm2d), lambda m: [m[i].weight.zero_() for i in (0, 3, 8)])
    assert "rate_too_large" not in causes(diagnosed(zero, batches=pictures()))


# Optimizers


class Clipping(Adam):
    def __init__(self, parameters: Any, clip: float = 1.0) -> None:
        super().__init__(parameters)
        self.clip, self.steps = clip, 0

    def step(self, closure: Any = None) -> Any:
        self.steps += 1
        for group in self.param_groups:
            nn.utils.clip_grad_norm_(group["params"], self.clip)
        return super().step(closure)


class Around(Optimizer):
    def __init__(self, parameters: Any, **settings: Any) -> None:
        super().__init__(parameters, settings)
        self.base = SGD(self.param_groups, **settings)

    def step(self, closure: Any = None) -> Any:
        return self.base.step()


class Closing(SGD):
    def step(self, closure: Any = None) -> Any:
        if closure is None:
            raise RuntimeError("needs a closure")
        return super().step(closure)


def test_an_optimizers_own_attributes_are_copied():
    model = shallow()
    for optimizer in (Clipping(model.parameters()), Around(model.parameters(), lr=0.1)):
        assert grave(diagnosed(model, by=optimizer)) == {}
        assert getattr(optimizer, "steps", 0) == 0
        assert not optimizer.state


def test_the_rate_of_a_wrapped_optimizer_is_seen():
    model = shallow()
    assert "rate_too_small" in grave(diagnosed(model, by=Around(model.parameters(), lr=1e-9)))


def test_an_optimizer_that_cannot_be_copied_is_not_blamed():
    model = shallow()
    found = diagnosed(model, rt.L2(10.0), by=Closing(model.parameters(), lr=0.1))
    assert found[0].cause in ("penalty_dominates", "collapse")
    assert causes(found)["optimizer_not_watched"] == "info"


def test_an_optimizers_own_error_says_what_to_do():
    model = nn.Sequential(nn.EmbeddingBag(50, 8, sparse=True), nn.Linear(8, 4))
    batches = [(torch.randint(0, 50, (32, 5)), torch.randint(0, 4, (32,))) for _ in range(4)]
    found = next(f for f in diagnosed(model, batches=batches) if f.cause == "optimizer_fails")
    assert found.severity == "severe"
    assert "SparseAdam" in found.why
    assert "as the error message suggests" in found.change


# Nets that have learnt


def learnt(*rules: rt.Penalty) -> tuple[nn.Module, Optimizer]:
    model = shallow()
    optimizer = Adam(model.parameters(), lr=1e-2)
    for rule in rules:
        rule.on(model).attach(optimizer)
    for _ in range(60):
        for x, y in vectors():
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    return model, optimizer


def test_what_has_learnt_under_its_penalty_is_healthy():
    model, optimizer = learnt(rt.L2(1e-3))
    assert grave(diagnosed(model, by=optimizer)) == {}


def test_a_net_that_has_learnt_bears_a_weak_penalty_and_no_strong_one():
    model, optimizer = learnt()
    assert grave(diagnosed(model, rt.L2(1e-6), by=optimizer)) == {}
    found = diagnosed(model, rt.L2(0.1), by=optimizer)
    assert found[0].cause in ("penalty_dominates", "collapse")
    assert found[0].severity == "severe"


def test_a_share_of_the_loss_that_takes_for_ever_to_act_is_none():
    torch.manual_seed(0)
    model = nn.Sequential(nn.EmbeddingBag(20000, 16, sparse=True), nn.Linear(16, 4))
    batches = [(torch.randint(0, 20000, (32, 10)), torch.randint(0, 4, (32,))) for _ in range(3)]
    found = diagnosed(model, rt.L2(1e-6, select="embedding"), batches=batches, by=SGD(model.parameters(), lr=1.0))
    assert "penalty_dominates" not in causes(found)
