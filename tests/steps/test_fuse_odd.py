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
from beside_fused import check, kernels, l1, mlp
from nets import dense

pytestmark = pytest.mark.usefixtures("uncompiled")


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


class Shared(nn.Module):
    """Two parameters over one memory."""

    def __init__(self, first: int) -> None:
        super().__init__()
        memory = torch.randn(6, 4, dtype=torch.float64)
        self.a, self.b = nn.Parameter(memory[:4]), nn.Parameter(memory[first : first + 2])
        self.c = nn.Parameter(torch.randn(4, 4, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return (x @ self.a.T).tanh() @ self.c @ self.b.T


@pytest.mark.parametrize(("first", "passes"), [(0, 1), (3, 1), (4, 3)])
def test_parameters_over_one_memory_are_stepped_in_turn(first: int, passes: int, uncompiled: list[object]):
    def build() -> tuple[nn.Module, Callable[[], Tensor]]:
        net, x = Shared(first), torch.randn(8, 4, dtype=torch.float64)
        return net, lambda: net(x).square().mean()

    handle = check(build, lambda net, optimizer: rt.L1(0.01, select="all").on(net).attach(optimizer))
    (plan,) = handle._one_pass._plans
    assert len(plan.recipes) == passes


def test_weights_whose_states_share_a_counter_are_stepped_in_turn(uncompiled: list[object]):
    def change(net: nn.Module, optimizer: optim.Optimizer, step: int) -> None:
        if step == 2:
            first, second, *_ = net.parameters()
            optimizer.state[first]["step"] = optimizer.state[second]["step"]

    handle = check(mlp, l1, change)
    assert [len(plan.recipes) for plan in handle._one_pass._plans] == [len(list(mlp()[0].parameters())) - 2]
