"""Optimizers inside wrappers: rules act at the steps that move the weights, or are refused and leave nothing behind."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Optimizer

import regtorch as rt
from nets import dense
from regtorch.steps.hooks import attached_to

close = torch.testing.assert_close
LAM = 0.1


class SAM(Optimizer):
    """Two steps by hand: up to where the loss is worst nearby, then down from where it came."""

    def __init__(self, params: Iterable[Tensor], base: type[Optimizer], rho: float = 0.05, **options: Any) -> None:
        super().__init__(params, {"rho": rho, **options})
        self.base_optimizer = base(self.param_groups, **options)
        self.param_groups = self.base_optimizer.param_groups

    @torch.no_grad()
    def first_step(self) -> None:
        norm = torch.stack([p.grad.norm() for g in self.param_groups for p in g["params"]]).norm()
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["old"] = p.clone()
                p.add_(p.grad * (group["rho"] / norm))
        self.zero_grad()

    @torch.no_grad()
    def second_step(self) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                p.copy_(self.state[p]["old"])
        self.base_optimizer.step()
        self.zero_grad()


class Lookahead(Optimizer):
    """Holds what it wraps under another name, and never calls Optimizer.__init__."""

    def __init__(self, base: Optimizer) -> None:
        self._base_optimizer = base
        self.param_groups = base.param_groups
        self.defaults, self.state = base.defaults, base.state

    def step(self, closure: Any = None) -> Any:
        return self._base_optimizer.step(closure)


class Wrapper:
    """No optimizer itself."""

    def __init__(self, name: str, inner: Any) -> None:
        setattr(self, name, inner)


class HandsOn:
    """Has every attribute of what it wraps."""

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = optimizer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["optimizer"], name)


class NotYet:
    """Has a property that is not there yet."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer

    @property
    def base(self) -> Optimizer:
        raise RuntimeError("prepare() comes first")


class Unusual(Optimizer):
    """An optimizer that holds another under a name nobody knows."""

    def __init__(self, inner: Optimizer) -> None:
        super().__init__(inner.param_groups, {})
        self.what_is_inside = inner

    def go(self) -> None:
        self.what_is_inside.step()


def weights_after(train: Callable[[nn.Module, Callable[[], Tensor]], None]) -> list[Tensor]:
    model, x, y = dense()
    train(model, lambda: F.cross_entropy(model(x), y))
    return [p.detach() for p in model.parameters()]


@pytest.mark.parametrize("rule", [rt.L2(LAM), rt.L1(LAM), rt.GroupLasso(LAM), rt.MaxNorm(0.5)], ids=str)
def test_sam_in_two_steps(rule: Any):
    def by(attach_to: Callable[[SAM], Any]) -> list[Tensor]:
        def train(model: nn.Module, loss: Callable[[], Tensor]) -> None:
            sam = SAM(model.parameters(), SGD, lr=0.1)
            rule.on(model).attach(attach_to(sam))
            for _ in range(3):
                loss().backward()
                sam.first_step()
                loss().backward()
                sam.second_step()

        return weights_after(train)

    close(by(lambda sam: sam), by(lambda sam: sam.base_optimizer), rtol=0, atol=0)


def test_inside_sam_l2_is_the_inner_optimizers_weight_decay():
    def train(decay: float) -> Callable[[nn.Module, Callable[[], Tensor]], None]:
        def steps(model: nn.Module, loss: Callable[[], Tensor]) -> None:
            groups = [{"params": [p], "weight_decay": decay if p.ndim > 1 else 0.0} for p in model.parameters()]
            sam = SAM(groups, SGD, lr=0.1)
            if not decay:
                rt.L2(LAM).on(model).attach(sam)
            for _ in range(3):
                loss().backward()
                sam.first_step()
                loss().backward()
                sam.second_step()

        return steps

    close(weights_after(train(2 * LAM)), weights_after(train(0.0)), rtol=1e-12, atol=1e-14)


NAMES = ["optimizer", "base_optimizer", "_base_optimizer", "_optimizer", "opt", "optim", "base"]
WRAPPERS: dict[str, Callable[[Optimizer], Any]] = {
    **{name: lambda o, name=name: Wrapper(name, o) for name in NAMES},
    "twice": lambda o: Wrapper("opt", Wrapper("optimizer", o)),
    "look-ahead": Lookahead,
    "unusual": Unusual,
    "look-ahead wrapped": lambda o: Wrapper("optimizer", Lookahead(o)),
    "hands on what it wraps": lambda o: HandsOn(Wrapper("base_optimizer", o)),
    "has properties that raise": NotYet,
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_the_optimizer_that_steps_is_found(wrap: Callable[[Optimizer], Any]):
    model, *_ = dense()
    optimizer = SGD(model.parameters(), lr=0.5)
    wrapper = wrap(optimizer)
    reg = rt.L2(1.0).on(model)
    handle = reg.attach(wrapper)
    assert attached_to(wrapper) == attached_to(optimizer) == [reg]
    with pytest.raises(ValueError, match="already"):
        reg.attach(wrapper)
    optimizer.step()
    assert model[0].weight.abs().max() < 1e-15  # w - 0.5 · 2w
    handle.remove()
    assert attached_to(wrapper) == [] == list(optimizer._optimizer_step_pre_hooks)


def test_one_that_steps_a_part_of_the_weights_is_not_what_is_wrapped():
    model, *_ = dense()
    outer = SGD(model.parameters(), lr=0.5)
    outer.optim = SGD(model[0].parameters(), lr=0.5)  # as in a sharded optimizer
    reg = rt.L2(1.0).on(model)
    reg.attach(outer)
    assert attached_to(outer.optim) == []
    outer.step()
    assert model[2].weight.abs().max() < 1e-15


class NoHooks(Optimizer):
    """Never calls Optimizer.__init__, and steps by itself."""

    def __init__(self, params: Iterable[Tensor]) -> None:
        self.param_groups = [{"params": list(params)}]
        self.defaults, self.state = {}, {}

    def step(self, closure: Any = None) -> Any:
        for p in self.param_groups[0]["params"]:
            p.data.sub_(p.grad)


class NoHooksTwo(NoHooks):
    """Has dicts for hooks that nobody runs."""

    def __init__(self, params: Iterable[Tensor]) -> None:
        super().__init__(params)
        self._optimizer_step_pre_hooks, self._optimizer_step_post_hooks = {}, {}


class Lomo(SGD):
    """Steps inside backward."""

    def fused_backward(self, loss: Tensor, lr: float) -> None:
        loss.backward()


def gradient_release(params: Iterable[Tensor]) -> Optimizer:
    return SGD([{"params": list(params), "gradient_release": True}])


REFUSED: dict[str, tuple[Callable[[Iterable[Tensor]], Any], str]] = {
    "no hooks": (NoHooks, "this NoHooks never called"),
    "hooks that nobody runs": (NoHooksTwo, "this NoHooksTwo never called"),
    "LOMO": (Lomo, "this Lomo steps inside backward"),
    "gradient release": (gradient_release, "steps inside backward"),
    "two optimizers": (
        lambda p: type("Two", (), {"opt": SGD(p, lr=0.1), "optim": SGD([nn.Parameter(torch.zeros(2))], lr=0.1)})(),
        r"this Two holds several optimizers, \.opt \(SGD\) and \.optim \(SGD\); use each",
    ),
    "nothing inside": (lambda p: Wrapper("opt", "adam"), "must be a torch.optim.Optimizer, received Wrapper"),
    "no wrapper": (lambda p: nn.Linear(2, 2), "must be a torch.optim.Optimizer, received Linear"),
}


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("rule", [rt.L2(LAM), rt.MaxNorm(0.1)], ids=str)
def test_what_runs_no_hooks_is_refused_and_keeps_nothing(make: Any, message: str, rule: Any):
    model, *_ = dense()
    optimizer = make(model.parameters())
    before = copy.copy(vars(optimizer))
    with pytest.raises(TypeError, match=message):
        rule.on(model).attach(optimizer)
    assert vars(optimizer) == before
    assert not any(p._post_accumulate_grad_hooks for p in model.parameters())


@pytest.mark.parametrize(
    ("holder", "message"),
    [
        (
            lambda o: Wrapper("inner_optimizer", o),
            r"received Wrapper; it holds a SGD as \.inner_optimizer: attach that",
        ),
        (lambda o: [o], "received list; attach each of them"),
        (lambda o: {"a": o}, "received dict; attach each of them"),
        (lambda o: Wrapper("optimizers", [o]), r"it holds optimizers in \.optimizers: attach each of them"),
        (lambda o: Wrapper("optimizers", {"a": o}), r"it holds optimizers in \.optimizers: attach each of them"),
    ],
)
def test_a_refusal_names_the_way_out(holder: Any, message: str):
    model, *_ = dense()
    with pytest.raises(TypeError, match=message):
        rt.L2(LAM).on(model).attach(holder(SGD(model.parameters(), lr=0.1)))
