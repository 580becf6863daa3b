"""`rt.diagnose` in training: weights without a gradient, rates, optimizers, nets that have learnt, what is left."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Adam, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LinearLR
from torch.utils.data import DataLoader, TensorDataset

import regtorch as rt
from doctor_cases import causes, grave
from doctor_patients import Batches, changed, conv, filled, pictures, vectors


def mlp() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 4))


def diagnosed(
    model: nn.Module, *rules: Any, loss: Any = F.cross_entropy, by: Any = None, batches: Any = None
) -> list[rt.Finding]:
    optimizer = Adam(model.parameters()) if by is None else by
    return rt.diagnose(model, loss, vectors() if batches is None else batches, optimizer, rules)


# Weights without a gradient


class Cut(nn.Module):
    def __init__(self, cut: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.features, self.head, self.cut = mlp()[0], mlp()[2], cut

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cut(self.features(x).relu()))


class WithUnused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.unused = mlp(), nn.Linear(300, 300)

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
    model = mlp()
    optimizer = SGD(model.parameters(), lr=0.1)
    LambdaLR(optimizer, lambda s: min(1, s / 100)) if kind == "function" else LinearLR(optimizer, 1e-8, 1, 100)
    found = diagnosed(model, by=optimizer)
    assert grave(found) == {}
    assert causes(found)["rate_scheduled"] == "info"


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_a_group_that_stands_still_is_named(kind: type[Optimizer]):
    model = mlp()
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
    model = mlp()
    for optimizer in (Clipping(model.parameters()), Around(model.parameters(), lr=0.1)):
        assert grave(diagnosed(model, by=optimizer)) == {}
        assert getattr(optimizer, "steps", 0) == 0
        assert not optimizer.state


def test_the_rate_of_a_wrapped_optimizer_is_seen():
    model = mlp()
    assert "rate_too_small" in grave(diagnosed(model, by=Around(model.parameters(), lr=1e-9)))


def test_an_optimizer_that_cannot_be_copied_is_not_blamed():
    model = mlp()
    found = diagnosed(model, rt.L2(10.0), by=Closing(model.parameters(), lr=0.1))
    assert found[0].cause in ("penalty_dominates", "collapse")
    assert causes(found)["optimizer_not_watched"] == "info"


def test_an_optimizers_own_error_says_what_to_do():
    model = nn.Sequential(nn.EmbeddingBag(50, 8, sparse=True), nn.Linear(8, 4))
    batches = [(torch.randint(0, 50, (32, 5)), torch.randint(0, 4, (32,))) for _ in range(4)]
    found = next(f for f in diagnosed(model, batches=batches) if f.cause == "optimizer_fails")
    assert found.severity == "severe"
    assert "SparseAdam" in found.why
    assert "as the error says" in found.change


# Nets that have learnt


def learnt(*rules: rt.Penalty) -> tuple[nn.Module, Optimizer]:
    model = mlp()
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


# What is left behind


class Loss(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))
        self.register_buffer("seen", torch.zeros(4))

    def forward(self, output: Tensor, y: Tensor) -> Tensor:
        self.seen += output.detach().mean(0)
        return F.cross_entropy(output * self.weight, y)


class Buffers(nn.Module):
    def __init__(self, change: Callable[[nn.Module, Tensor], object]) -> None:
        super().__init__()
        self.inner, self.change = mlp(), change
        self.register_buffer("one", torch.zeros(1).expand(20))
        self.register_buffer("queue", torch.zeros(4))

    def forward(self, x: Tensor) -> Tensor:
        self.change(self, x)
        return self.inner(x + self.one)


def test_a_loss_with_weights_is_put_back():
    model, loss = mlp(), Loss()
    optimizer = SGD([*model.parameters(), *loss.parameters()], lr=0.1)
    before = copy.deepcopy((model.state_dict(), loss.state_dict()))
    diagnosed(model, loss=loss, by=optimizer)
    torch.testing.assert_close((model.state_dict(), loss.state_dict()), before, rtol=0, atol=0)
    assert loss.weight.grad is None


CHANGES: dict[str, Callable[[Any, Tensor], object]] = {
    "nothing": lambda m, x: None,
    "a new buffer": lambda m, x: m.register_buffer("late", x.mean(0)),
    "a resized one": lambda m, x: m.queue.resize_(m.queue.numel() + 1),
    "a replaced one": lambda m, x: setattr(m, "queue", torch.cat([m.queue, x[0]])),
    "other memory": lambda m, x: setattr(m.queue, "data", torch.ones(7)),
}


@pytest.mark.parametrize("case", CHANGES)
def test_buffers_are_put_back_whatever_forward_does(case: str):
    model = Buffers(CHANGES[case])
    buffers, before = dict(model.named_buffers()), copy.deepcopy(model.state_dict())
    diagnosed(model)
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert all(buffer is buffers[name] for name, buffer in model.named_buffers())
    assert model.one.stride() == (0,)
    assert set(dict(model.named_buffers())) == {"one", "queue"}


def test_batches_are_not_worked_on():
    batches = vectors()
    before = copy.deepcopy(batches)
    diagnosed(nn.Sequential(nn.ReLU(inplace=True), mlp()), batches=batches)
    torch.testing.assert_close(batches, before, rtol=0, atol=0)


@pytest.mark.parametrize("own", [False, True])
def test_a_loaders_random_numbers_are_put_back(own: bool):
    generator = torch.Generator().manual_seed(3) if own else None
    x, y = (torch.cat(part) for part in zip(*vectors(), strict=True))
    loader = DataLoader(TensorDataset(x, y), 32, shuffle=True, generator=generator)
    model = mlp()

    def loss(output: Tensor, y: Tensor) -> Tensor:
        random.random()
        return F.cross_entropy(output + 0.01 * torch.randn_like(output), y)

    states = [torch.get_rng_state(), random.getstate(), None if generator is None else generator.get_state()]
    diagnosed(model, loss=loss, batches=loader)
    after = [torch.get_rng_state(), random.getstate(), None if generator is None else generator.get_state()]
    torch.testing.assert_close(
        [s for s in after if isinstance(s, Tensor)], [s for s in states if isinstance(s, Tensor)]
    )
    assert after[1] == states[1]


# What surrounds the call


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode])
def test_gradients_may_be_off_outside(around: Callable[[], Any]):
    model = mlp()
    with around():
        batches: Batches = vectors()
        found = diagnosed(model, batches=batches)
        assert not torch.is_grad_enabled()
    assert grave(found) == {}


def test_a_model_made_in_inference_mode_is_refused():
    with torch.inference_mode():
        model = mlp()
    with pytest.raises(ValueError, match="made under torch.inference_mode"):
        rt.diagnose(model, F.cross_entropy, vectors())


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda o, y: F.cross_entropy(o, y).item(), "received float; return the tensor itself, without .item"),
        (lambda o, y: (F.cross_entropy(o, y), 1), "received tuple; return the loss alone"),
    ],
)
def test_a_loss_that_is_no_tensor_is_told_how(loss: Any, message: str):
    with pytest.raises(ValueError, match=message):
        rt.diagnose(mlp(), loss, vectors())
