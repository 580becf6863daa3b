"""`rt.fuse`: the same steps as without, for every rule, optimizer and way of stepping."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn, optim
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.optim.lr_scheduler import OneCycleLR

import regtorch as rt
from cases import CONSTRAINTS, PENALTIES
from nets import dense, step_often

Make = Callable[[Iterable[Tensor]], Optimizer]
Rules = list[tuple[Any, dict[str, Any]]]
MOST = 1e-12  # the largest difference of any weight, in float64
OPTIMIZERS: dict[str, Make] = {
    "SGD": lambda p: optim.SGD(p, 0.1),
    "SGD momentum": lambda p: optim.SGD(p, 0.1, momentum=0.9, dampening=0.1),
    "SGD nesterov fused": lambda p: optim.SGD(p, 0.1, momentum=0.9, nesterov=True, fused=True),
    "Adam": lambda p: optim.Adam(p, 0.01),
    "Adam fused": lambda p: optim.Adam(p, torch.tensor(0.01), fused=True),
    "AdamW amsgrad": lambda p: optim.AdamW(p, 0.01, amsgrad=True, weight_decay=0.0),
    "RMSprop": lambda p: optim.RMSprop(p, 0.01, momentum=0.5, centered=True),
    "Adagrad": lambda p: optim.Adagrad(p, 0.1, lr_decay=0.01),
}
DECAYING: dict[str, Make] = {
    "SGD": lambda p: optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.01),
    "Adam": lambda p: optim.Adam(p, 0.01, weight_decay=0.01),
    "AdamW": lambda p: optim.AdamW(p, 0.01, weight_decay=0.1),
    "RMSprop": lambda p: optim.RMSprop(p, 0.01, weight_decay=0.01),
    "Adagrad": lambda p: optim.Adagrad(p, 0.1, weight_decay=0.01),
}
RULES = {name: case.rule for name, case in {**PENALTIES, **CONSTRAINTS}.items() if case.rule.grain == "element"}
FIVE: Rules = [
    (rt.L1(0.01), {}),
    (rt.L2(0.01), {}),
    (rt.L1L2(0.01, 0.02), {"proximal": True}),
    (rt.L2SP(0.02), {}),
    (rt.Box(-0.5, 0.5), {}),
]


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The passes as the compiler sees them, but run eagerly."""
    real: Any = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **kw: real(f, fullgraph=kw["fullgraph"], backend="eager"))


def train(make: Make, rules: Rules, *, fused: bool, steps: int = 50, closure: bool = False) -> list[Tensor]:
    """The weights after some steps."""
    net, x, y = dense()
    optimizer = make(list(net.parameters()))
    for rule, how in rules:
        rule.on(net).attach(optimizer, **how)
    handle = rt.fuse(optimizer) if fused else None

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(net(x), y)
        value.backward()
        return value

    step_often(optimizer, loss, steps, closure=closure)
    assert handle is None or not handle.why_not
    return [p.detach() for p in net.parameters()]


def check_equal(fused: list[Tensor], plain: list[Tensor]) -> None:
    torch.testing.assert_close(fused, plain, rtol=0, atol=MOST)


@pytest.mark.parametrize("closure", [False, True])
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
def test_five_rules_in_one_pass(make: Make, closure: bool, uncompiled: list[Any]) -> None:
    check_equal(train(make, FIVE, fused=True, closure=closure), train(make, FIVE, fused=False, closure=closure))
    assert len(uncompiled) == 1  # all weights were taken at once, from the second step on


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
@pytest.mark.parametrize("optimizer", ["SGD momentum", "Adam"])
def test_every_rule(rule: Any, optimizer: str, uncompiled: list[Any]) -> None:
    make = OPTIMIZERS[optimizer]
    check_equal(train(make, [(rule, {})], fused=True, steps=10), train(make, [(rule, {})], fused=False, steps=10))
    assert len(uncompiled) == 1


@pytest.mark.parametrize("name", ["L1", "L2", "L1L2", "ElasticNet"])
@pytest.mark.parametrize("optimizer", ["SGD", "SGD momentum", "Adam"])
def test_proximal_steps(name: str, optimizer: str, uncompiled: list[Any]) -> None:
    rules: Rules = [(PENALTIES[name].rule, {"proximal": True})]
    fused = train(OPTIMIZERS[optimizer], rules, fused=True, steps=10)
    check_equal(fused, train(OPTIMIZERS[optimizer], rules, fused=False, steps=10))
    assert len(uncompiled) == 1


@pytest.mark.parametrize("make", DECAYING.values(), ids=DECAYING.keys())
def test_the_optimizers_own_decay(make: Make, uncompiled: list[Any]) -> None:
    rules: Rules = [(rt.Box(-0.4, 0.4), {})]
    check_equal(train(make, rules, fused=True), train(make, rules, fused=False))
    check_equal(train(make, [], fused=True), train(make, [], fused=False))


def test_masked_rules(uncompiled: list[Any]) -> None:
    net, *_ = dense()
    name = next(name for name, p in net.named_parameters() if p.ndim == 2)
    mask = torch.rand(net.get_parameter(name).shape) > 0.5
    rules: Rules = [(rt.masked(rt.L1(0.1), {name: mask}), {}), (rt.masked(rt.Box(-0.1, 0.1), {name: ~mask}), {})]
    check_equal(train(OPTIMIZERS["Adam"], rules, fused=True), train(OPTIMIZERS["Adam"], rules, fused=False))
    assert len(uncompiled) == 1


@pytest.mark.parametrize("name", ["SGD momentum", "Adam fused"])
def test_as_the_compiler_sees_it(name: str, traced: None) -> None:
    check_equal(train(OPTIMIZERS[name], FIVE, fused=True, steps=5), train(OPTIMIZERS[name], FIVE, fused=False, steps=5))


@pytest.mark.slow
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
def test_compiled(make: Make) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch's own, of inductor
        fused = train(make, FIVE, fused=True)
    check_equal(fused, train(make, FIVE, fused=False))


def scheduled(fused: bool, momentum: float, rule: rt.Penalty) -> list[Tensor]:
    """Weights under schedules of rate, momentum and strength."""
    net, x, y = dense()
    optimizer = optim.SGD(net.parameters(), 0.1, momentum=momentum)
    rule.on(net).attach(optimizer, schedule=rt.schedules.warmup(10))
    if fused:
        rt.fuse(optimizer)
    rates = OneCycleLR(optimizer, max_lr=0.2, total_steps=30, cycle_momentum=bool(momentum))
    for _ in range(30):
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
        rates.step()
    return [p.detach() for p in net.parameters()]


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_schedules_compile_once(momentum: float, uncompiled: list[Any]) -> None:
    check_equal(scheduled(True, momentum, rt.L1(0.01)), scheduled(False, momentum, rt.L1(0.01)))
    assert len(uncompiled) == 1


def test_state_dicts_are_interchangeable(uncompiled: list[Any]) -> None:
    ends: list[list[Tensor]] = []
    for before, after in [(True, False), (False, True), (False, False)]:
        net, x, y = dense()
        state: dict[str, Any] = {}
        for fused in (before, after):
            optimizer = optim.Adam(net.parameters(), 0.01)
            rt.L1(0.01).on(net).attach(optimizer)
            if state:
                optimizer.load_state_dict(state)
            if fused:
                rt.fuse(optimizer)
            for _ in range(6):
                optimizer.zero_grad()
                F.cross_entropy(net(x), y).backward()
                optimizer.step()
            state = optimizer.state_dict()
        ends.append([p.detach() for p in net.parameters()])
    check_equal(ends[0], ends[2])
    check_equal(ends[1], ends[2])


def test_many_weights_share_compiled_functions(uncompiled: list[Any]) -> None:
    ends: list[list[Tensor]] = []
    for fused in (True, False):
        torch.manual_seed(0)
        net = nn.Sequential(*(nn.Linear(5, 5) for _ in range(40))).double()
        optimizer = optim.SGD(net.parameters(), 0.01)
        rt.L1(0.01).on(net).attach(optimizer)
        if fused:
            rt.fuse(optimizer)
        x = torch.randn(8, 5, dtype=torch.float64)
        for _ in range(5):
            optimizer.zero_grad()
            net(x).square().mean().backward()
            optimizer.step()
        ends.append([p.detach() for p in net.parameters()])
    check_equal(*ends)
    assert len(uncompiled) == 3  # sixteen kernels, sixteen biases, the rest
