"""`rt.fuse` with Lion, which torch has not: those of three libraries, and one that is written as they are."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import nn, optim

import regtorch as rt
from beside_fused import check, mlp

RULES: dict[str, Callable[[], list[Any]]] = {
    "L1": lambda: [rt.L1(0.01)],
    "L2 and Box": lambda: [rt.L2(0.01), rt.Box(-0.3, 0.3)],
    "GroupLasso": lambda: [rt.GroupLasso(0.01)],
}


class Lion(optim.Optimizer):
    """As timm's, with the loop of lion-pytorch."""

    def __init__(self, params: Any, lr: float = 0.01, caution: bool = False, weight_decay: float = 0.0) -> None:
        super().__init__(
            params,
            {"lr": lr, "betas": (0.9, 0.99), "weight_decay": weight_decay, "caution": caution, "maximize": False},
        )

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            group["step"] = group.get("step", 0) + 1
            beta1, beta2 = group["betas"]
            for p in (p for p in group["params"] if p.grad is not None):
                state = self.state[p]
                m = state.setdefault("exp_avg", torch.zeros_like(p))
                p.mul_(1 - group["lr"] * group["weight_decay"])
                move = m.lerp(p.grad, 1 - beta1).sign_()
                p.add_(move * (move * p.grad > 0) if group["caution"] else move, alpha=-group["lr"])
                m.lerp_(p.grad, 1 - beta2)


Lion.__module__, Lion.__qualname__ = "timm.optim.lion", "Lion"  # by which it is known


def rules(name: str) -> Callable[[nn.Module, optim.Optimizer], None]:
    def attach(net: nn.Module, optimizer: optim.Optimizer) -> None:
        for rule in RULES[name]():
            rule.on(net).attach(optimizer)

    return attach


@pytest.mark.filterwarnings("ignore:.* both act on:UserWarning")
@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("name", RULES)
def test_steps_are_compiled_and_equal(name: str, decay: float, uncompiled: list[Any]):
    seen: list[Any] = []

    def make(params: Any) -> optim.Optimizer:
        seen.append(Lion(params, weight_decay=decay))
        return seen[-1]

    check(mlp, rules(name), make=make)
    assert uncompiled
    assert [optimizer.param_groups[0]["step"] for optimizer in seen] == [8, 8]


def test_settings_with_another_formula_are_left_to_the_optimizer(uncompiled: list[Any]):
    check(mlp, rules("L1"), make=lambda params: Lion(params, caution=True))
    assert not uncompiled


def test_compiled_steps_are_counted_where_the_optimizer_counts(uncompiled: list[Any]):
    net = nn.Linear(6, 3)
    optimizer = Lion(net.parameters())
    step = rt.compile_step(net, nn.functional.mse_loss, optimizer)
    for _ in range(5):
        step(torch.ones(2, 6), torch.zeros(2, 3))
    assert uncompiled
    assert not step.why_not
    assert optimizer.param_groups[0]["step"] == 5


@pytest.mark.parametrize("decoupled", [True, 0, None])
def test_what_libraries_take_for_false(decoupled: Any, uncompiled: list[Any]):
    def make(params: Any) -> optim.Optimizer:
        optimizer = Lion(params)
        optimizer.param_groups[0]["weight_decouple"] = decoupled
        return optimizer

    check(mlp, rules("L1"), make=make)
    assert bool(uncompiled) == (decoupled is True)


def test_a_subclass_is_refused():
    class Mine(Lion): ...

    with pytest.raises(
        TypeError, match=r"optimizer must be one of torch.optim's SGD, .*, or Lion of timm.*received Mine"
    ):
        rt.fuse(Mine(nn.Linear(2, 1).parameters()))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.* both act on:UserWarning")
@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize(
    ("library", "module", "how"),
    [
        ("timm", "timm.optim.lion", {"weight_decay": 0.1}),
        ("timm", "timm.optim.lion", {"weight_decay": 0.1, "corrected_weight_decay": True}),
        ("timm", "timm.optim.lion", {"caution": True}),
        ("lion_pytorch", "lion_pytorch.lion_pytorch", {"weight_decay": 0.1}),
        ("pytorch_optimizer", "pytorch_optimizer.optimizer.lion", {"weight_decay": 0.1}),
        ("pytorch_optimizer", "pytorch_optimizer.optimizer.lion", {"weight_decay": 0.1, "weight_decouple": False}),
        ("pytorch_optimizer", "pytorch_optimizer.optimizer.lion", {"weight_decay": 0.1, "fixed_decay": True}),
    ],
)
def test_those_of_libraries(library: str, module: str, how: dict[str, Any], name: str):
    pytest.importorskip(library)
    kind = import_module(module).Lion
    handle = check(mlp, rules(name), make=lambda params: kind(params, lr=0.01, **how))
    assert not handle.why_not
    assert bool(handle._one_pass._passes) == ("caution" not in how)
