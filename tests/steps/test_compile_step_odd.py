"""Compiled steps of nets, losses and optimizers that do more than a plain one: each is noticed, and the step right."""

from __future__ import annotations

import copy
import gc
import importlib
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from test_compile_step import OPTIMIZERS, assert_alike, batches, pair, train
from torch import Tensor, nn, optim
from torch.nn import functional as F
from torch.nn.utils import parametrizations

import regtorch as rt


class Of(nn.Module):
    """A net of one layer that does more."""

    def __init__(self, does: Callable[[Any, Tensor], Tensor] = lambda self, x: self.layer(x)) -> None:
        super().__init__()
        self.layer, self.other, self.same = nn.Linear(6, 3), nn.Linear(6, 3), nn.Linear(6, 6, bias=False)
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("count", torch.zeros(()), persistent=False)
        self.does, self.on, self.calls, self.held = does, False, 0, [self.same.weight]

    def forward(self, x: Tensor) -> Tensor:
        return self.does(self, x)


def moving(self: Any, x: Tensor) -> Tensor:
    out = self.layer(x)
    self.mean = 0.9 * self.mean + 0.1 * out.detach().mean(0)
    self.count += 1
    return out + self.mean


def growing(self: Any, x: Tensor) -> Tensor:
    self.mean = torch.cat([self.mean, self.mean.new_ones(1)])
    return self.layer(x) * self.mean.sum()


def counting(self: Any, x: Tensor) -> Tensor:
    self.calls += 1
    return self.layer(x) * (1 + 0.01 * self.calls)


def appending(self: Any, x: Tensor) -> Tensor:
    self.held.append(0)
    return self.layer(x) * len(self.held)


def overwriting(self: Any, x: Tensor) -> Tensor:
    return self.layer(x.mul_(1.5))


NETS: dict[str, Callable[[], nn.Module]] = {
    "a buffer that is replaced": lambda: Of(moving),
    "a buffer that grows": lambda: Of(growing),
    "a number that counts": lambda: Of(counting),
    "a list that grows": lambda: Of(appending),
    "its batch is overwritten": lambda: Of(overwriting),
    "a weight outside of its module": lambda: Of(lambda self, x: self.layer(F.linear(self.same(x), self.held[0]))),
    "batch norm without momentum": lambda: nn.Sequential(
        nn.Linear(6, 6), nn.BatchNorm1d(6, momentum=None), nn.Linear(6, 3)
    ),
    "spectral norm": lambda: nn.Sequential(parametrizations.spectral_norm(nn.Linear(6, 5)), nn.Linear(5, 3)),
    "a renormed embedding": lambda: Of(
        lambda self, x: F.embedding((x[:, 0] > 0).long(), self.other.weight, None, 0.3)[:, :3]
    ),
}


@pytest.mark.sampled(4)
@pytest.mark.parametrize("net", NETS.values(), ids=NETS.keys())
@pytest.mark.filterwarnings("ignore:compile_step")
def test_nets_that_change_more_than_weights(quickly: None, net: Callable[[], nn.Module]):
    step, by_parts, nets, optimizers = pair(OPTIMIZERS["SGD nesterov"], [], net)
    for x, y in batches(6):
        own = x.clone()
        train(step, lambda *_, own=own, y=y: by_parts(own, y), [(x, y)])
        assert torch.equal(x, own)
        assert_alike(nets, optimizers)
        assert all(torch.allclose(a, b) for a, b in zip(nets[0].buffers(), nets[1].buffers(), strict=True))


@pytest.mark.filterwarnings("ignore:compile_step")
def test_a_net_that_cannot_be_prepared_is_called_once(uncompiled: list[Any]):
    def net() -> nn.Module:
        return nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Linear(6, 3))

    step, by_parts, nets, optimizers = pair(OPTIMIZERS["SGD"], [(rt.SpectralNorm(0.1), {})], net)
    train(step, by_parts, batches(3))
    assert "cannot be stepped so" in step.why_not
    assert_alike(nets, optimizers)


@pytest.mark.parametrize("by_reg", [False, True])
@pytest.mark.filterwarnings("ignore:compile_step")
def test_a_loss_uses_weights_of_the_net(quickly: None, by_reg: bool):
    net = nn.Linear(6, 3).double()
    other = copy.deepcopy(net)
    steps = []
    for of in (net, other):
        reg = rt.L2(0.1).on(of)
        optimizer = optim.SGD(of.parameters(), 0.1)
        more = reg if by_reg else lambda of=of: of.weight.square().sum()
        steps.append((of, lambda out, y, more=more: F.cross_entropy(out, y) + more(), optimizer))
    step = rt.compile_step(*steps[0])
    for x, y in batches(4):
        loss, _ = step(x, y)
        _, of_loss, optimizer = steps[1]
        optimizer.zero_grad()
        expected = of_loss(other(x), y)
        expected.backward()
        optimizer.step()
        assert torch.allclose(loss, expected.detach(), rtol=0, atol=1e-12)
    assert_alike([net, other], [steps[0][2], steps[1][2]])


@pytest.mark.filterwarnings("ignore:compile_step")
def test_a_batch_that_requires_a_gradient_gets_it(quickly: None):
    net, before = nn.Linear(6, 3).double(), nn.Linear(6, 6).double()
    step = rt.compile_step(net, F.cross_entropy, optim.SGD(net.parameters(), 0.1))
    for x, y in batches(3):
        expected = torch.autograd.grad(F.cross_entropy(net(before(x)), y), before.weight)[0]
        before.zero_grad()
        step(before(x), y)
        assert torch.equal(before.weight.grad, expected)
    assert "requires a gradient" in step.why_not


@pytest.mark.filterwarnings("ignore:compile_step")
def test_weights_of_another_optimizer_get_their_gradient(quickly: None):
    net, head = nn.Linear(6, 3).double(), nn.Linear(3, 3).double()
    step = rt.compile_step(net, lambda out, y: F.cross_entropy(head(out), y), optim.SGD(net.parameters(), 0.1))
    for x, y in batches(3):
        expected = torch.autograd.grad(F.cross_entropy(head(net(x)), y), head.weight)[0]
        head.zero_grad()
        step(x, y)
        assert torch.equal(head.weight.grad, expected)
    assert "requires a gradient" in step.why_not


def test_targets_that_were_the_inputs(quickly: None):
    step, by_parts, nets, optimizers = pair(OPTIMIZERS["SGD"], [], lambda: nn.Linear(6, 6), F.mse_loss)
    data = [x for x, _ in batches(6)]
    train(step, by_parts, [(x, x) for x in data[:3]] + [(x, x + 1) for x in data[3:]])
    assert step.why_not == ""
    assert_alike(nets, optimizers)


@pytest.mark.filterwarnings("ignore:compile_step")
def test_a_loss_with_buffers_is_called_once(quickly: None):
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros((), dtype=torch.float64))

        def forward(self, out: Tensor, y: Tensor) -> Tensor:
            self.calls += 1
            return F.cross_entropy(out, y) * self.calls

    loss, net = Counting(), nn.Linear(6, 3).double()
    step = rt.compile_step(net, loss, optim.SGD(net.parameters(), 0.1))
    for number, (x, y) in enumerate(batches(4), 1):
        step(x, y)
        assert loss.calls == number


@pytest.mark.filterwarnings("ignore:Error detected in")
@pytest.mark.filterwarnings("ignore:Anomaly Detection")
def test_anomalies_are_looked_for_in_parts(uncompiled: list[Any]):
    step, by_parts, nets, optimizers = pair(OPTIMIZERS["SGD"])
    data = batches(6)
    train(step, by_parts, data[:2])
    x = data[2][0] * float("nan")
    with torch.autograd.set_detect_anomaly(True), pytest.raises(RuntimeError, match="nan"):
        step(x, data[2][1])
    assert_alike(nets, optimizers)
    train(step, by_parts, data[3:])
    assert step.why_not == ""


@pytest.mark.filterwarnings("ignore:compile_step")
def test_a_compiler_that_is_switched_off():
    step, by_parts, nets, optimizers = pair(OPTIMIZERS["SGD"])
    with torch.compiler.set_stance("force_eager"):
        train(step, by_parts, batches(3))
    assert step.why_not == "torch.compile is switched off"
    assert_alike(nets, optimizers)


def test_copies_have_their_own_net(quickly: None):
    step, _, nets, optimizers = pair(OPTIMIZERS["SGD nesterov"])
    data = batches(6)
    for x, y in data[:3]:
        step(x, y)
    copied = [copy.deepcopy((step, nets[0], optimizers[0])), pickle.loads(pickle.dumps((step, nets[0], optimizers[0])))]
    before = copy.deepcopy(nets[0])
    for other, _, _ in copied:
        for x, y in data[3:]:
            other(x, y)
        assert other.why_not == ""
    assert all(torch.equal(p, q) for p, q in zip(nets[0].parameters(), before.parameters(), strict=True))
    for x, y in data[3:]:
        step(x, y)
    for _, net, optimizer in copied:
        assert_alike([nets[0], net], [optimizers[0], optimizer])


def test_nothing_outlives_a_step(quickly: None):
    net = nn.Linear(6, 3).double()
    optimizer = optim.SGD(net.parameters(), 0.1)
    step = rt.compile_step(net, F.cross_entropy, optimizer)
    for x, y in batches(3):
        step(x, y)
    known = [weakref.ref(net), weakref.ref(optimizer), weakref.ref(net.weight)]
    del net, optimizer, step
    gc.collect()
    assert [ref() is None for ref in known] == [True] * 3


def test_an_interrupted_compilation_changes_nothing(quickly: None, monkeypatch: pytest.MonkeyPatch):
    step, by_parts, nets, optimizers = pair(OPTIMIZERS["Adam fused"])
    data = batches(6)
    train(step, by_parts, data[:1])

    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(importlib.import_module("torch._inductor.compile_fx"), "compile_fx", stop)
        with pytest.raises(KeyboardInterrupt):
            step(*data[1])
    assert_alike(nets, optimizers)
    train(step, by_parts, data[1:])
    assert step.why_not == ""
    assert_alike(nets, optimizers)
