"""Every sign that `rt.watch` looks for: a training that shows it, and its healthy twin, which does not."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import regtorch as rt
from doctor_cases import CLASSES, WIDTH
from watched_trainings import data, mlp, train, watched


class Twin(NamedTuple):
    """A net, what trains it, and how: the optimizer and the options of `train`."""

    net: nn.Module
    optimizer: torch.optim.Optimizer
    options: dict[str, Any]


def sgd(weights: Any, lr: float = 0.1, **settings: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(weights, lr, **settings)


def clipped(norm: float) -> Twin:
    net = mlp()
    weights = list(net.parameters())
    return Twin(net, sgd(weights), {"before_step": lambda: nn.utils.clip_grad_norm_(weights, norm)})


def owning(layers: slice) -> Twin:
    net = mlp()
    return Twin(net, sgd(net[layers].parameters()), {})


def cut(where: int) -> Twin:
    net = mlp()

    def forward(x: Tensor) -> Tensor:
        hidden = net[:2](x)
        return net[2:](hidden.detach() if where else hidden)

    return Twin(net, sgd(net.parameters()), {"forward": forward})


def deep(activation: Callable[[], nn.Module]) -> Twin:
    widths = [WIDTH, *[24] * 12]
    layers = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), activation())]
    net = nn.Sequential(*layers, nn.Linear(24, CLASSES))
    if activation is nn.ReLU:
        for p in net.parameters():
            if p.ndim > 1:
                nn.init.kaiming_normal_(p, nonlinearity="relu")
    return Twin(net, torch.optim.Adam(net.parameters(), 1e-4), {})


def at_rate(lr: float) -> Twin:
    net = mlp()
    return Twin(net, sgd(net.parameters(), lr), {})


def penalised(lam: float) -> Twin:
    net = mlp()
    optimizer = sgd(net.parameters())
    rt.L2(lam).on(net).attach(optimizer)
    return Twin(net, optimizer, {})


def decayed(decay: float) -> Twin:
    net = mlp()
    return Twin(net, torch.optim.AdamW(net.parameters(), 1e-3, weight_decay=decay), {})


def with_norms(momentum: float) -> Twin:
    """A net after 1,000 batches, whose running variances are those of another phase of the training."""
    net = mlp(norm=True)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.momentum = momentum
            module.num_batches_tracked.fill_(1000)
            module.running_var.fill_(30.0)
    return Twin(net, torch.optim.Adam(net.parameters(), 1e-3), {})


STOPPED = ("rate_too_small", "optimizer.lr", "warning")
SIGNS: dict[str, tuple[str, int, Callable[[], Twin], Callable[[], Twin]]] = {
    "clipping": ("always_clipped", 60, lambda: clipped(0.01), lambda: clipped(1e3)),
    "owners": ("weights_not_owned", 30, lambda: owning(slice(2, None)), lambda: owning(slice(None))),
    "a detached branch": ("no_gradient_reaches", 40, lambda: cut(1), lambda: cut(0)),
    "depth": ("vanishing_gradients", 30, lambda: deep(nn.Sigmoid), lambda: deep(nn.ReLU)),
    "no rate": ("rate_too_small", 40, lambda: at_rate(1e-9), lambda: at_rate(0.1)),
    "a penalty": ("collapse", 100, lambda: penalised(0.5), lambda: penalised(1e-4)),
    "decay": ("collapse", 100, lambda: decayed(30.0), lambda: decayed(0.01)),
    "momentum of norms": ("batch_norm_lag", 40, lambda: with_norms(1e-4), lambda: with_norms(0.7)),
}


@pytest.mark.parametrize("name", SIGNS)
def test_a_sign_and_its_healthy_twin(name: str):
    cause, steps, ill, well = SIGNS[name]
    causes: list[list[str]] = []
    for make in (ill, well):
        torch.manual_seed(3)
        twin = make()
        found = watched(twin.net, twin.optimizer, steps, 2, **twin.options).findings
        causes.append([finding.cause for finding in found if finding.severity != "info"])
    assert cause in causes[0]
    assert causes[1] == []


@pytest.mark.parametrize("factor", [1.0, 1.1])
def test_a_weight_that_grows_without_end(factor: float):
    torch.manual_seed(3)
    net = mlp()
    nn.init.zeros_(net[4].weight)  # grows from 0 to a usual size

    def grow(step: int) -> None:
        if step > 60:
            net[2].weight.data.mul_(factor)

    found = watched(net, torch.optim.Adam(net.parameters(), 1e-2), 160, 5, each=grow).findings
    grave = [(finding.cause, finding.where) for finding in found if finding.severity == "severe"]
    assert grave == ([("diverges", "2.weight")] if factor > 1 else [])
    if grave:
        assert 60 < found[0].numbers["step"] < 130
        assert "beside the optimizer" in found[0].change


def test_weights_that_another_optimizer_moves_are_owned():
    torch.manual_seed(3)
    net = mlp()
    other = sgd(net[:2].parameters())
    assert watched(net, sgd(net[2:].parameters()), 30, 2, before_step=other.step).findings == []


@pytest.mark.parametrize("rate", [0.0, 0.05])
def test_a_rate_that_becomes_zero(rate: float):
    torch.manual_seed(3)
    net = mlp()
    optimizer = sgd(net.parameters())

    def change(step: int) -> None:
        if step == 40:
            optimizer.param_groups[0]["lr"] = rate

    found = watched(net, optimizer, 80, 2, each=change).findings
    assert [(f.cause, f.where, f.severity) for f in found] == ([] if rate else [STOPPED])
    if not rate:
        assert found[0].numbers["step"] == 40
        assert "learning rate is 0" in found[0].why


def test_steps_that_rounding_swallows():
    torch.manual_seed(3)
    net = mlp().to(torch.bfloat16)
    optimizer = sgd(net.parameters())

    def change(step: int) -> None:
        if step == 40:
            optimizer.param_groups[0]["lr"] = 1e-7

    forward = lambda x: net(x.bfloat16()).float()  # noqa: E731
    found = watched(net, optimizer, 80, 2, each=change, forward=forward).findings
    assert [(f.cause, f.where, f.severity) for f in found if f.severity != "info"] == [STOPPED]
    assert "rounding" in found[0].why


def test_a_layer_that_is_frozen_is_noted():
    torch.manual_seed(3)
    net = mlp()
    optimizer = sgd(net.parameters())
    found = watched(net, optimizer, 60, 2, each=lambda step: net[2].requires_grad_(not 30 < step < 50)).findings
    assert [(f.cause, f.where, f.severity) for f in found] == [("frozen_weights", "2.bias, 2.weight", "info")]
    assert (found[0].numbers["step"], found[0].numbers["recovered"]) == (32, 50)


@pytest.mark.parametrize("spoiled", [False, True])
def test_a_loss_scale_that_falls(spoiled: bool):
    torch.manual_seed(3)
    net = mlp()
    optimizer = sgd(net.parameters())
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)
    x, y = data()
    with rt.watch(net, optimizer, scaler=scaler, every=2, on_finding=lambda _: None) as watching:
        for step in range(80):
            part = slice(step % 5 * 40, step % 5 * 40 + 40)
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x[part]), y[part]) * (torch.inf if spoiled and step > 30 else 1.0)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
    found = {finding.cause: finding for finding in watching.findings}
    assert set(found) == ({"loss_scale_at_floor"} if spoiled else set())
    if spoiled:
        assert found["loss_scale_at_floor"].severity == "severe"
        assert found["loss_scale_at_floor"].numbers["batches_without_step"] >= 16


@pytest.mark.parametrize("faster", [1.0, 1000.0])
def test_a_compiled_net(faster: float):
    torch.manual_seed(3)
    net = mlp()
    compiled: Any = torch.compile(net, backend="eager")
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)

    def jump(step: int) -> None:
        if step == 30:
            optimizer.param_groups[0]["lr"] *= faster

    watching = watched(compiled, optimizer, 60, each=jump)
    assert watching.unwatched == ("activations are not watched, as the net is compiled",)
    assert {finding.cause for finding in watching.findings} == ({"rate_too_large"} if faster > 1 else set())


def test_what_began_first_comes_first_among_equals():
    torch.manual_seed(3)
    net = mlp(norm=True)
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)

    def spoil(step: int) -> None:
        if step == 30:
            rt.MaxNorm(1e-4).on(net).attach(optimizer)
        if step == 60:
            net.eval()

    found = watched(net, optimizer, 90, each=spoil).findings
    assert [f.cause for f in found if f.severity == "warning"] == ["constraint_too_tight", "eval_left_on"]


def test_a_warning_points_to_the_loop():
    torch.manual_seed(3)
    net = mlp(norm=True)
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    with rt.watch(net, optimizer, every=2), pytest.warns(rt.DoctorWarning) as told:
        train(net, optimizer, 30, each=lambda step: net.eval() if step == 10 else None)
    assert {Path(one.filename).name for one in told} == {"watched_trainings.py"}
