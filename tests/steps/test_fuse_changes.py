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


def _states(net: nn.Module, optimizer: optim.Optimizer) -> list[dict[str, Any]]:
    return [optimizer.state[p] for p in net.parameters() if p in optimizer.state]


def _clear(row: dict[str, Any]) -> None:
    row.clear()


def _replace(row: dict[str, Any]) -> None:
    row["exp_avg"] = torch.full_like(row["exp_avg"], 0.5)


def _refill(row: dict[str, Any]) -> None:
    row["exp_avg"].data = torch.full_like(row["exp_avg"], 0.5)


def _turn(row: dict[str, Any]) -> None:
    if row["exp_avg"].ndim == 2:
        row["exp_avg"].data = row["exp_avg"].t().contiguous().t()


def _count_again(row: dict[str, Any]) -> None:
    row["step"].fill_(2.0)


def _count_elsewhere(row: dict[str, Any]) -> None:
    row["step"].data = torch.tensor(2.0)


@pytest.mark.parametrize("move", [_clear, _replace, _refill, _turn, _count_again, _count_elsewhere])
@pytest.mark.parametrize("every", [False, True])
def test_state_that_somebody_moves(move: Callable[[dict[str, Any]], None], every: bool):
    def change(net: nn.Module, optimizer: optim.Optimizer, step: int) -> None:
        if step == 5:
            with torch.no_grad():
                for row in _states(net, optimizer)[: None if every else 1]:
                    move(row)

    check(mlp, l1, change, lambda p: optim.Adam(p, 0.01))


def test_state_that_comes_in_another_order():
    def change(net: nn.Module, optimizer: optim.Optimizer, step: int) -> None:
        if step == 5:
            first, *_ = net.parameters()
            optimizer.state[first] = optimizer.state.pop(first)
            optimizer.state[first] = dict(reversed(optimizer.state[first].items()))

    check(mlp, l1, change, lambda p: optim.Adam(p, 0.01))


@pytest.mark.parametrize("note", [5, torch.tensor([5.0]), {"epoch": 5}, None])
def test_state_that_is_no_weights(note: Any):
    def change(net: nn.Module, optimizer: optim.Optimizer, step: int) -> None:
        optimizer.state["note"] = note

    check(mlp, l1, change)


@pytest.mark.parametrize("name", ["step", "exp_avg"])
def test_a_tensor_that_states_share(name: str):
    """The optimizer moves it in turn for each weight: a counter by as many as share it."""

    def build() -> tuple[nn.Module, Callable[[], Tensor]]:
        net = nn.Sequential(*(nn.Linear(3, 3) for _ in range(4))).double()
        return net, lambda: net(torch.ones(2, 3, dtype=torch.float64)).square().sum()

    def change(net: nn.Module, optimizer: optim.Optimizer, step: int) -> None:
        if step == 4:
            first, _, second, *_ = _states(net, optimizer)
            second[name] = first[name]

    handle = check(build, l1, change, lambda p: optim.Adam(p, 0.01))
    assert not handle.why_not
