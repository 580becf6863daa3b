"""`rt.fuse` follows what changes after a pass was prepared, and is exact where numbers are 0 or infinite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn, optim

import regtorch as rt
from beside_fused import check, kernels, l1, mlp
from regtorch.steps import optimizers

pytestmark = pytest.mark.usefixtures("uncompiled")


def test_groups_that_are_replaced():
    def change(net: nn.Module, optimizer: optim.Optimizer, step: int) -> None:
        if step == 4:
            optimizer.load_state_dict(optimizer.state_dict())  # which makes other groups
            optimizer.param_groups[0]["lr"] = 0.05

    check(mlp, l1, change)


def test_another_default_device():
    def build() -> tuple[nn.Module, Callable[[], Tensor]]:
        torch.set_default_device(None)
        return mlp()

    def change(net: nn.Module, optimizer: optim.Optimizer, step: int) -> None:
        torch.set_default_device("meta")

    try:
        check(build, l1, change)
    finally:
        torch.set_default_device(None)


class Root(rt.Penalty):
    """λ Σ√|w|, whose gradient at 0 is infinite, and a proximal step that divides by its size."""

    separable = True

    def __call__(self, w: Tensor) -> Tensor:
        return w.abs().sqrt().sum()

    def prox(self, w: Tensor, step: Any) -> Tensor:
        return w - step * step / step


@pytest.mark.parametrize("proximal", [False, True])
def test_a_rule_at_scale_0_does_nothing(proximal: bool):
    def build() -> tuple[nn.Module, Callable[[], Tensor]]:
        net, loss = mlp()
        with torch.no_grad():
            kernels(net)[0][0] = 0
        return net, loss

    def rules(net: nn.Module, optimizer: optim.Optimizer) -> None:
        reg = Root().on(net)
        reg.attach(optimizer, proximal=proximal)
        reg.scale = 0

    check(build, rules)


@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop", "Adagrad"])
def test_an_infinite_weight_comes_back_to_its_bounds(name: str):
    def change(net: nn.Module, optimizer: optim.Optimizer, step: int) -> None:
        if step == 4:
            with torch.no_grad():
                kernels(net)[0][0, 0] = torch.inf

    def rules(net: nn.Module, optimizer: optim.Optimizer) -> None:
        rt.Box(-0.3, 0.3).on(net).attach(optimizer)

    check(mlp, rules, change, lambda p: getattr(optim, name)(p, 0.01))


def test_a_step_size_that_is_registered_later(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(optimizers, "_FACTS", optimizers._FACTS.copy())
    own = optimizers._FACTS[optim.SGD]

    def change(net: nn.Module, optimizer: optim.Optimizer, step: int) -> None:
        if step == 0:
            optimizers._FACTS[optim.SGD] = own
        if step == 4:
            rt.register_optimizer(optim.SGD, lambda group, state: 2 * group["lr"], one_step_size=True)

    def rules(net: nn.Module, optimizer: optim.Optimizer) -> None:
        rt.L1(0.01).on(net).attach(optimizer, proximal=True)

    check(mlp, rules, change, lambda p: optim.SGD(p, 0.1))


@pytest.mark.parametrize("first", [False, True])
def test_another_hook_of_steps_changes_gradients(first: bool):
    def halve(optimizer: optim.Optimizer, *_: Any) -> None:
        for p in optimizer.param_groups[0]["params"]:
            p.grad.mul_(0.5)

    def make(weights: Any) -> optim.Optimizer:
        optimizer = optim.SGD(weights, 0.1)
        if first:
            optimizer.register_step_pre_hook(halve)
        return optimizer

    def change(net: nn.Module, optimizer: optim.Optimizer, step: int) -> None:
        if step == 4 and not first:
            optimizer.register_step_pre_hook(halve)

    check(mlp, l1, change, make)
