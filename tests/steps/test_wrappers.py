"""Optimizers inside wrappers: rules act at the steps that move the weights, or are refused and leave nothing behind."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import pytest
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
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


class HasBase(Optimizer):
    """Steps by another optimizer, as SAM does."""

    def __init__(self, inner: Optimizer) -> None:
        super().__init__(inner.param_groups, {})
        self.base_optimizer = inner

    def step(self, closure: Any = None) -> Any:
        return self.base_optimizer.step(closure)


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
    "Lightning's, of one that wraps": lambda o: LightningOptimizer(HasBase(o)),
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


class MovesWeights(SGD):
    """Steps by a method that runs no hooks."""

    @torch.no_grad()
    def advance(self) -> None:
        for p in self.param_groups[0]["params"]:
            p.data.sub_(p.grad, alpha=0.1)


@pytest.mark.parametrize("rule", [rt.L2(LAM), rt.MaxNorm(0.1)], ids=str)
def test_weights_that_move_without_a_step_are_warned_of_once(rule: Any):
    model, x, y = dense()
    optimizer = MovesWeights(model.parameters(), lr=0.1)
    rule.on(model).attach(optimizer)
    for _ in range(3):
        F.cross_entropy(model(x), y).backward()
        optimizer.advance()
    with pytest.warns(UserWarning, match=r"has not acted: its weights move, but no step\(\) of the MovesWeights"):
        F.cross_entropy(model(x), y).backward()
    optimizer.advance()
    F.cross_entropy(model(x), y).backward()
    assert not any(p._post_accumulate_grad_hooks for p in model.parameters())


def test_who_steps_late_accumulates_or_changes_optimizers_is_not_warned():
    model, x, y = dense()
    optimizer, other = SGD(model.parameters(), lr=0.1), SGD(model.parameters(), lr=0.1)
    reg = rt.L2(LAM).on(model)
    reg.attach(optimizer)
    reg.attach(other)
    for _ in range(3):
        F.cross_entropy(model(x), y).backward()
    optimizer.step()
    for _ in range(3):
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    other.step()
    F.cross_entropy(model(x), y).backward()
    assert not any(p._post_accumulate_grad_hooks for p in model.parameters())


def test_the_watch_ends_with_the_rule():
    model, *_ = dense()
    optimizer = SGD(model.parameters(), lr=0.1)
    handle = rt.L2(LAM).on(model).attach(optimizer)
    assert any(p._post_accumulate_grad_hooks for p in model.parameters())
    handle.remove()
    assert not any(p._post_accumulate_grad_hooks for p in model.parameters())


def test_the_watch_ends_with_the_optimizer():
    model, x, _ = dense()
    rt.L2(LAM).on(model).attach(SGD(model.parameters(), lr=0.1))
    model(x).sum().backward()
    assert not any(p._post_accumulate_grad_hooks for p in model.parameters())


def loss_of(model: nn.Module, x: Tensor, y: Tensor, reg: Any) -> Tensor:
    task = F.cross_entropy(model(x), y)
    return task if reg is None else task + reg()


def closure_of(optimizer: Optimizer, make_loss: Callable[[], Tensor]) -> Callable[[], Tensor]:
    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = make_loss()
        loss.backward()
        return loss

    return closure


class Clipping(SGD):
    """Does something of its own, then the step of its base class, whose hooks run too."""

    def step(self, closure: Any = None) -> Any:
        nn.utils.clip_grad_norm_([p for g in self.param_groups for p in g["params"]], 0.05)
        return super().step(closure)


class Passing(SGD):
    def step(self, closure: Any = None) -> Any:
        return super().step(closure)


@pytest.mark.parametrize("by_closure", [False, True])
@pytest.mark.parametrize("kind", [Clipping, Passing])
@pytest.mark.parametrize("rule", [rt.L2(LAM), rt.L1(LAM)], ids=str)
def test_nested_steps_have_the_penalty_once(kind: type[SGD], rule: Any, by_closure: bool):
    SGD([nn.Parameter(torch.zeros(2))], lr=0.1)  # torch wraps the base class's step when one is made
    results = []
    for way in (1, 3):
        model, x, y = dense()
        optimizer = kind(model.parameters(), lr=0.1)
        reg = rule.on(model)
        if way == 3:
            reg.attach(optimizer)

        closure = closure_of(optimizer, partial(loss_of, model, x, y, reg if way == 1 else None))

        for _ in range(3):
            if by_closure and kind is Passing:
                optimizer.step(closure)
            else:
                closure()
                optimizer.step()
        results.append([p.detach() for p in model.parameters()])
    close(results[0], results[1], rtol=1e-12, atol=1e-14)


def test_a_nested_step_that_raised_leaves_later_steps_their_penalty():
    class Fails(Passing):
        fail = True

        def step(self, closure: Any = None) -> Any:
            super().step(closure)
            if Fails.fail:
                raise ValueError("once")
            return None

    model, *_ = dense()
    optimizer = Fails(model.parameters(), lr=0.5)
    rt.L2(1.0).on(model).attach(optimizer)
    with pytest.raises(ValueError, match="once"):
        optimizer.step()
    Fails.fail = False
    with torch.no_grad():
        model[0].weight.fill_(1.0)
    optimizer.zero_grad()
    optimizer.step()
    assert model[0].weight.abs().max() < 1e-15


class SlowSteps:
    """Look-ahead: every second step halfway back to where it came from."""

    def wrap(self, inner: Optimizer) -> None:
        self.optimizer, self.count = inner, 0
        self.slow = [p.detach().clone() for g in inner.param_groups for p in g["params"]]

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        self.optimizer.step(closure)
        self.count += 1
        if self.count % 2 == 0:
            parameters = (p for g in self.optimizer.param_groups for p in g["params"])
            for p, slow in zip(parameters, self.slow, strict=True):
                p.copy_(slow.lerp_(p, 0.5))


class Slow(SlowSteps, Optimizer):
    """An optimizer itself, whose step runs hooks."""

    def __init__(self, inner: Optimizer) -> None:
        super().__init__(inner.param_groups, {})
        self.wrap(inner)


class SlowWithoutHooks(SlowSteps):
    """No optimizer."""

    def __init__(self, inner: Optimizer) -> None:
        self.wrap(inner)


def test_constraints_hold_after_the_wrappers_step():
    model, x, y = dense()
    outer = Slow(SGD(model.parameters(), lr=0.1))
    constraint = rt.MaxNorm(0.1).on(model)
    handle = constraint.attach(outer)
    for _ in range(4):
        F.cross_entropy(model(x), y).backward()
        outer.step()
        assert constraint.violation() < 1e-12
    handle.remove()
    assert not outer._optimizer_step_post_hooks


class SlowInTwoSteps(Slow):
    """Runs hooks in a step that nobody calls, as SAM may."""

    def second_step(self) -> None:
        SlowSteps.step(self)


@pytest.mark.parametrize(("kind", "step"), [(SlowWithoutHooks, "step"), (SlowInTwoSteps, "second_step")])
def test_where_the_wrapper_runs_no_hooks_a_violated_constraint_is_warned_of(kind: Any, step: str):
    model, x, y = dense()
    outer = kind(SGD(model.parameters(), lr=0.1))
    rt.MaxNorm(0.1).on(model).attach(outer)
    for number in range(8):
        F.cross_entropy(model(x), y).backward()
        if number == 2:
            with pytest.warns(UserWarning, match=f"the {kind.__name__} moved them after the constraint had acted"):
                getattr(outer, step)()
        else:
            getattr(outer, step)()


def test_where_a_wrapper_moves_nothing_there_is_no_warning():
    model, x, y = dense()
    inner = SGD(model.parameters(), lr=0.1)
    rt.MinMaxNorm(0.1, 0.2, 0.5).on(model).attach(Wrapper("optimizer", inner))
    for _ in range(8):
        F.cross_entropy(model(x), y).backward()
        inner.step()


class Polyak(Optimizer):
    """Steps as far as the loss says."""

    def __init__(self, params: Iterable[Tensor]) -> None:
        super().__init__(params, {})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        with torch.enable_grad():
            loss = closure()
        grads = [p.grad for g in self.param_groups for p in g["params"]]
        size = loss / sum(g.square().sum() for g in grads)
        for p in (p for g in self.param_groups for p in g["params"]):
            p.sub_(p.grad * (0.1 * size))
        return loss


@pytest.mark.parametrize("number", [lambda loss: loss, lambda loss: loss.item()], ids=["tensor", "float"])
def test_an_optimizer_that_reads_the_loss_reads_the_sum(number: Any):
    results = []
    for way in (1, 3):
        model, x, y = dense()
        optimizer = Polyak(model.parameters())
        reg = rt.L2(LAM).on(model)
        if way == 3:
            reg.attach(optimizer)

        closure = closure_of(optimizer, partial(loss_of, model, x, y, reg if way == 1 else None))

        for _ in range(3):
            assert type(optimizer.step(lambda closure=closure: number(closure()))) is type(number(torch.zeros(())))
        results.append([p.detach() for p in model.parameters()])
    close(results[0], results[1], rtol=1e-12, atol=1e-14)


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
