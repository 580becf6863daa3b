"""`rt.watch` names what turns bad in a training, says nothing of healthy ones, and changes none of them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import product
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import regtorch as rt
from thinned import thinned
from watched_trainings import FAULT, LSTM, Transformer, data, mlp, train, watched

EVERY = 5


class Fault(NamedTuple):
    """A training that turns bad at a step."""

    net: Callable[[], nn.Sequential]
    optimizer: Callable[[nn.Module], torch.optim.Optimizer]
    spoil: Callable[[nn.Sequential, torch.optim.Optimizer], object]


def adam(net: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(net.parameters(), 1e-3)


def sgd(net: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(net.parameters(), 0.1)


def faster(_: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    for group in optimizer.param_groups:
        group["lr"] *= 1000


@torch.no_grad()
def nan(net: nn.Sequential, _: object) -> None:
    next(net.parameters())[0, 0] = float("nan")


@torch.no_grad()
def dead(net: nn.Sequential, _: object) -> None:
    assert isinstance(net[0], nn.Linear)
    net[0].bias.sub_(100)


@torch.no_grad()
def saturated(net: nn.Sequential, _: object) -> None:
    assert isinstance(net[0], nn.Linear)
    net[0].weight.mul_(1000)


FAULTS = {
    "rate_too_large": Fault(mlp, adam, faster),
    "diverges": Fault(mlp, adam, nan),
    "dead_relus": Fault(mlp, adam, dead),
    "saturated_sigmoids": Fault(lambda: mlp(nn.Tanh), adam, saturated),
    "eval_left_on": Fault(lambda: mlp(norm=True), adam, lambda net, _: net.eval()),
    "constraint_too_tight": Fault(mlp, adam, lambda net, optimizer: rt.MaxNorm(1e-4).on(net).attach(optimizer)),
}


@pytest.mark.parametrize("seed", [3, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.parametrize("cause", FAULTS)
def test_the_step_at_which_it_turned_bad(cause: str, seed: int):
    torch.manual_seed(seed)
    fault = FAULTS[cause]
    net = fault.net()
    optimizer = fault.optimizer(net)
    watching = watched(
        net, optimizer, FAULT + 40, EVERY, each=lambda step: fault.spoil(net, optimizer) if step == FAULT else None
    )
    found = {finding.cause: finding for finding in watching.findings}
    assert cause in found, found
    assert FAULT <= found[cause].numbers["step"] <= FAULT + 2 * EVERY


def test_a_constraint_that_takes_steps_back_is_no_large_rate():
    torch.manual_seed(3)
    net = mlp()
    optimizer = adam(net)
    rt.MaxNorm(1e-4).on(net).attach(optimizer)
    assert "rate_too_large" not in {finding.cause for finding in watched(net, optimizer, 60).findings}


def test_a_penalty_that_rises():
    torch.manual_seed(3)
    net = mlp()
    optimizer = sgd(net)
    rt.L2(1e-4).on(net).attach(optimizer, schedule=lambda step: 1.0 if step < FAULT else 3000.0)
    found = {finding.cause: finding for finding in watched(net, optimizer).findings}
    assert FAULT <= found["penalty_dominates"].numbers["step"] <= FAULT + 2 * EVERY


NETS: dict[str, Callable[[], nn.Module]] = {
    "relu": mlp,
    "sigmoid": lambda: mlp(nn.Sigmoid),
    "batch norm, dropout": lambda: mlp(norm=True, dropout=0.3),
    "transformer": Transformer,
    "lstm": LSTM,
}


RULES: dict[str, tuple[Any, ...]] = {"no rules": (), "rules": (rt.L2(1e-4), rt.MaxNorm(3.0))}


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("name", "chosen"), thinned(product(NETS, RULES), lambda name, chosen: name == "relu" or chosen == "rules")
)
def test_a_healthy_training_is_silent(name: str, chosen: str):
    torch.manual_seed(5)
    net = NETS[name]()
    optimizer = adam(net)
    for rule in RULES[chosen]:
        rule.on(net).attach(optimizer)
    assert watched(net, optimizer, 150).findings == []


def state(net: nn.Module, *optimizers: torch.optim.Optimizer) -> list[Tensor]:
    moments = [v for o in optimizers for s in o.state.values() for v in s.values() if isinstance(v, Tensor)]
    return [*net.state_dict().values(), *moments, torch.get_rng_state()]


class Loop(NamedTuple):
    """A way to train."""

    optimizers: Callable[[nn.Module], list[torch.optim.Optimizer]]
    step: Callable[[nn.Module, list[torch.optim.Optimizer], Tensor, Tensor], object]


def plain(net: nn.Module, optimizers: list[torch.optim.Optimizer], x: Tensor, y: Tensor) -> None:
    for optimizer in optimizers:
        optimizer.zero_grad()
    F.cross_entropy(net(x), y).backward()
    for optimizer in optimizers:
        optimizer.step()


def clipped(net: nn.Module, optimizers: list[torch.optim.Optimizer], x: Tensor, y: Tensor) -> None:
    optimizers[0].zero_grad()
    for part in (slice(None, 20), slice(20, None)):  # accumulated
        F.cross_entropy(net(x[part]), y[part]).backward()
    nn.utils.clip_grad_norm_(net.parameters(), 0.5)
    optimizers[0].step()


def closed(net: nn.Module, optimizers: list[torch.optim.Optimizer], x: Tensor, y: Tensor) -> None:
    def closure() -> float:
        optimizers[0].zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        return float(loss.detach())

    optimizers[0].step(closure)


def scaled(net: nn.Module, optimizers: list[torch.optim.Optimizer], x: Tensor, y: Tensor) -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    optimizers[0].zero_grad()
    scaler.scale(F.cross_entropy(net(x), y)).backward()
    scaler.step(optimizers[0])
    scaler.update()


def halves(net: nn.Module) -> list[torch.optim.Optimizer]:
    first, *rest = net.parameters()
    return [torch.optim.SGD([first], 0.1, momentum=0.9), torch.optim.AdamW(rest, weight_decay=0)]


def groups(net: nn.Module) -> list[torch.optim.Optimizer]:
    first, *rest = net.parameters()
    return [torch.optim.Adam([{"params": [first], "lr": 1e-2}, {"params": rest}])]


LOOPS = {
    "plain": Loop(lambda net: [adam(net)], plain),
    "two optimizers": Loop(halves, plain),
    "groups": Loop(groups, plain),
    "accumulated, clipped": Loop(lambda net: [sgd(net)], clipped),
    "closure": Loop(lambda net: [sgd(net)], closed),
    "LBFGS": Loop(lambda net: [torch.optim.LBFGS(net.parameters(), max_iter=3)], closed),
    "scaler": Loop(lambda net: [adam(net)], scaled),
}


@pytest.mark.parametrize("name", LOOPS)
def test_it_changes_no_bit_and_leaves_no_hook(name: str):
    torch.manual_seed(6)
    net = mlp(norm=True, dropout=0.2)
    twin = copy.deepcopy(net)
    x, y = data()
    ends, hooks = [], []
    for watch, own in ((False, net), (True, twin)):
        optimizers = LOOPS[name].optimizers(own)
        rt.L1(1e-3).on(own).attach(optimizers[-1])
        before = _hooks(own, optimizers)
        watching = rt.watch(own, optimizers, every=2, on_finding=lambda _: None) if watch else None
        torch.manual_seed(7)
        for step in range(20):
            LOOPS[name].step(own, optimizers, x[step * 7 :][:40], y[step * 7 :][:40])
        if watching is not None:
            assert watching.steps >= 20
            assert "measurement_failed" not in {finding.cause for finding in watching.findings}
            watching.remove()
            watching.remove()
        ends.append(state(own, *optimizers))
        hooks.append((before, _hooks(own, optimizers)))
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))
    assert all(before == after for before, after in hooks)


def _hooks(net: nn.Module, optimizers: list[torch.optim.Optimizer]) -> list[int]:
    of_net = [len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in net.modules()]
    return [*of_net, *(len(o._optimizer_step_pre_hooks) + len(o._optimizer_step_post_hooks) for o in optimizers)]


def test_a_warning_is_the_default_and_comes_once():
    torch.manual_seed(3)
    net = mlp()
    optimizer = adam(net)
    with rt.watch(net, optimizer, every=EVERY), pytest.warns(rt.DoctorWarning) as told:
        train(net, optimizer, 40, each=lambda step: nan(net, None) if step == 20 else None)
    texts = [str(one.message) for one in told]
    assert len(texts) == len(set(texts))


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"model": "net"}, TypeError, "model must be a torch.nn.Module, received str"),
        ({"optimizer": []}, ValueError, "received an empty list"),
        ({"optimizer": torch.optim.SGD(nn.Linear(1, 1).parameters())}, ValueError, "watch: "),
        ({"optimizer": 3}, TypeError, "watch: "),
        ({"every": 0}, ValueError, "every"),
        ({"budget": 2.0}, ValueError, "budget"),
        ({"scaler": 3}, TypeError, "scaler must be a torch.amp.GradScaler, received int"),
        ({"on_finding": 3}, TypeError, "on_finding must be a function of a finding, received 3"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], error: type[Exception], said: str):
    net = mlp()
    with pytest.raises(error, match=said):
        rt.watch(**{"model": net, "optimizer": adam(net), **arguments})
