"""`rt.fuse` where a pass cannot take a weight or a step: the optimizer takes it, and nothing is lost or doubled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn, optim
from torch.nn import functional as F
from torch.nn.utils import parametrizations

import regtorch as rt
from nets import dense
from regtorch.steps import optimizers

Change = Callable[[nn.Module, optim.Optimizer, int], None]


pytestmark = pytest.mark.usefixtures("uncompiled")


def check(
    build: Callable[[], tuple[nn.Module, Callable[[], Tensor]]],
    rules: Callable[[nn.Module, optim.Optimizer], object],
    change: Change = lambda net, optimizer, step: None,
    make: Callable[[Any], optim.Optimizer] = lambda p: optim.Adam(p, 0.01),
) -> rt.Fused:
    """Train with and without fuse; `change` is called before every step."""
    ends: list[list[Tensor]] = []
    handle: Any = None
    for fused in (False, True):
        torch.manual_seed(0)
        net, loss = build()
        optimizer = make(net.parameters())
        rules(net, optimizer)
        handle = rt.fuse(optimizer) if fused else None
        for step in range(8):
            change(net, optimizer, step)
            optimizer.zero_grad()
            loss().backward()
            optimizer.step()
        ends.append([p.detach().clone() for p in net.parameters()])
    torch.testing.assert_close(*ends, rtol=0, atol=1e-12)
    return handle


def mlp() -> tuple[nn.Module, Callable[[], Tensor]]:
    net, x, y = dense()
    return net, lambda: F.cross_entropy(net(x), y)


def l1(net: nn.Module, optimizer: optim.Optimizer) -> None:
    rt.L1(0.01).on(net).attach(optimizer)


def kernels(net: nn.Module) -> list[nn.Parameter]:
    return [p for p in net.parameters() if p.ndim == 2]


def test_rules_that_no_pass_takes():
    def rules(net: nn.Module, optimizer: optim.Optimizer) -> None:
        l1(net, optimizer)
        first = next(name for name, p in net.named_parameters() if p.ndim == 2)
        rt.Orthogonal(0.01, select=f"name:{first}").on(net).attach(optimizer)

    check(mlp, rules)


def test_two_proximal_steps_on_one_weight():
    def rules(net: nn.Module, optimizer: optim.Optimizer) -> None:
        (rt.L1(0.01).on(net) + rt.GroupLasso(0.01).on(net)).attach(optimizer, proximal=True)

    check(mlp, rules)


def test_a_parametrized_weight():
    def build() -> tuple[nn.Module, Callable[[], Tensor]]:
        net, x, y = dense()
        parametrizations.weight_norm(next(m for m in net.modules() if isinstance(m, nn.Linear)))
        return net, lambda: F.cross_entropy(net(x), y)

    check(build, l1)


def test_sparse_gradients():
    def build() -> tuple[nn.Module, Callable[[], Tensor]]:
        net = nn.Sequential(nn.Embedding(10, 4, sparse=True), nn.Linear(4, 3)).double()
        words = torch.randint(10, (6,))
        return net, lambda: F.cross_entropy(net(words), words % 3)

    def rules(net: nn.Module, optimizer: optim.Optimizer) -> None:
        rt.L1(0.01).on(net).attach(optimizer)
        rt.MaxNorm(0.5, select="embedding").on(net).attach(optimizer)

    check(build, rules, make=lambda p: optim.SGD(p, 0.1))


def test_expanded_and_transposed_gradients():
    def build() -> tuple[nn.Module, Callable[[], Tensor]]:
        net, x, _ = dense()
        return net, lambda: net(x).square().mean() + sum(p.sum() + (p.t() * p.t()).sum() for p in kernels(net))

    check(build, l1)


def test_weights_that_are_frozen_and_unfrozen():
    def change(net: nn.Module, optimizer: optim.Optimizer, step: int) -> None:
        kernels(net)[0].requires_grad_(step % 3 != 1)
        kernels(net)[0].grad = None

    check(mlp, l1, change)


def test_groups_that_are_added():
    def change(net: nn.Module, optimizer: optim.Optimizer, step: int) -> None:
        if step == 4:
            more = nn.Parameter(torch.ones(3, dtype=torch.float64))
            net.register_parameter("more", more)
            optimizer.add_param_group({"params": [more], "lr": 0.1})
            more.register_hook(lambda g: g)

    def build() -> tuple[nn.Module, Callable[[], Tensor]]:
        net, x, y = dense()
        return (
            net,
            lambda: (
                F.cross_entropy(net(x), y)
                + sum(p.square().sum() for name, p in net.named_parameters() if name == "more")
            ),
        )

    def rules(net: nn.Module, optimizer: optim.Optimizer) -> None:
        rt.L1(0.01, select="all").on(net).attach(optimizer)

    check(build, rules, change)


def test_storage_that_is_replaced():
    def change(net: nn.Module, optimizer: optim.Optimizer, step: int) -> None:
        if step in (3, 5):
            p = kernels(net)[0]
            p.data = p.data.t().contiguous().t() if step == 3 else p.data.clone(memory_format=torch.contiguous_format)

    check(mlp, l1, change)


def test_state_that_is_replaced():
    def change(net: nn.Module, optimizer: optim.Optimizer, step: int) -> None:
        if step == 4:
            optimizer.load_state_dict(optimizer.state_dict())

    check(mlp, l1, change)


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


def test_a_rule_that_comes_and_goes():
    handles: list[Any] = []

    def change(net: nn.Module, optimizer: optim.Optimizer, step: int) -> None:
        if step == 2:
            handles.append(rt.L2(0.1).on(net).attach(optimizer))
        if step == 5:
            handles.pop().remove()

    check(mlp, l1, change)


@pytest.mark.parametrize("setting", ["maximize", "foreach"])
def test_settings(setting: str):
    def rules(net: nn.Module, optimizer: optim.Optimizer) -> None:
        if setting != "maximize":
            l1(net, optimizer)

    check(mlp, rules, make=lambda p: optim.Adam(p, 0.01, **{setting: True}))


def test_a_closure_that_raises_changes_nothing():
    def closure() -> float:
        raise ZeroDivisionError

    def change(net: nn.Module, optimizer: optim.Optimizer, step: int) -> None:
        if step == 4:
            with pytest.raises(ZeroDivisionError):
                optimizer.step(closure)

    check(mlp, l1, change)


def test_without_a_compiler(monkeypatch: pytest.MonkeyPatch):
    def compile_(function: Any, **_: Any) -> Any:
        def call(*_: Any) -> None:
            raise RuntimeError("No working C++ compiler found\nand more")

        return call

    monkeypatch.setattr(torch, "compile", compile_)
    with pytest.warns(UserWarning, match=r"fuse: the steps of this Adam cannot be compiled .*No working C\+\+") as seen:
        handle = check(mlp, l1)
    assert len(seen) == 1
    assert "No working C++ compiler" in handle.why_not
    assert "No working" in repr(handle)


def test_under_a_grad_scaler():
    ends: list[list[Tensor]] = []
    for fused in (False, True):
        net, x, y = dense()
        net, x = net.float(), x.float()
        optimizer = optim.SGD(net.parameters(), 0.1, fused=True)
        scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
        rt.L1(0.01).on(net).attach(optimizer)
        if fused:
            rt.fuse(optimizer)
        for step in range(6):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x), y) * (torch.inf if step == 3 else 1)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        ends.append([p.detach() for p in net.parameters()])
    torch.testing.assert_close(*ends, rtol=0, atol=1e-6)


def test_the_handle():
    net, *_ = dense()
    optimizer = optim.SGD(net.parameters(), 0.1)
    handle = rt.fuse(optimizer)
    assert repr(handle) == "Fused(SGD)"
    with pytest.raises(ValueError, match="fuse: this SGD is fused already"):
        rt.fuse(optimizer)
    handle.remove()
    handle.remove()
    assert not optimizer._optimizer_step_pre_hooks
    rt.fuse(optimizer)
    with pytest.raises(TypeError, match="fuse: optimizer must be one of torch.optim's SGD, Adam, .* received Rprop"):
        rt.fuse(optim.Rprop(net.parameters()))
    with pytest.raises(TypeError, match="fuse: optimizer must be"):
        rt.fuse(net)
