"""Which forward passes of a net an activity penalty counts, and how long their graphs live."""

from __future__ import annotations

import copy
import gc
import weakref
from dataclasses import dataclass
from threading import Thread
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import regtorch as rt

close = torch.testing.assert_close

X = torch.randn(8, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


class Wrapped(nn.Module):
    """Puts out what its `wrap` makes of a net's output."""

    def __init__(self, inner: nn.Module, wrap: Any = lambda y: y) -> None:
        super().__init__()
        self.inner, self.wrap = inner, wrap

    def forward(self, x: Tensor) -> Any:
        return self.wrap(self.inner(x))


@dataclass
class Output:
    """As Hugging Face's nets return one."""

    y: Tensor


def linear() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)).double()


def alone(model: nn.Module, x: Tensor, select: str = "type:Linear") -> float:
    """The penalty of one pass of a net that nobody watches yet."""
    watched = copy.deepcopy(model)
    reg = rt.Activity(rt.L2(1.0), select=select).on(watched)
    watched(x)
    return reg().item()


WRAPS: dict[str, Any] = {
    "a tensor": lambda y: y,
    "one loss": lambda y: y.square().sum(),
    "nested": lambda y: {"outputs": {"logits": y}},
    "a dataclass": Output,
}


@pytest.mark.sampled(3)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
def test_what_is_in_use_counts_and_what_is_dropped_does_not(wrap: Any, compiled: bool):
    model = Wrapped(linear(), wrap)
    both = alone(model, X) + alone(model, X[:4])
    reg = rt.Activity(rt.L2(1.0), select="type:Linear").on(model)  # the net's last module, too
    call: Any = torch.compile(model, backend="eager") if compiled else model
    first, second = call(X), call(X[:4])
    close(reg().item(), both)
    del first, second
    call(X)
    call(X)
    close(reg().item(), alone(model.inner, X))


def test_outputs_that_the_net_keeps_to_itself():
    model = linear()
    kept: list[Tensor] = []
    watched = Wrapped(model, kept.append)
    both = alone(model, X) + alone(model, X[:4])
    reg = rt.Activity(rt.L2(1.0), select="type:Linear").on(watched)
    watched(X)
    watched(X[:4])
    close(reg().item(), both)


def test_no_graph_lives_longer_than_its_loss():
    model = linear()
    reg = rt.Activity(rt.L2(1.0), select="type:Linear").on(model)
    for read in (True, False):
        inputs = []
        for _ in range(20):
            x = X.clone().requires_grad_()
            inputs.append(weakref.ref(x))
            loss = model(x).sum() + (reg() if read else 0.0)
            loss.backward()
            del x, loss
        gc.collect()
        assert sum(x() is not None for x in inputs) <= 1
    outputs = []
    for _ in range(20):
        outputs.append(weakref.ref(model[2](model[0](X))))  # by hand, and nobody reads
    assert sum(y() is not None for y in outputs) <= 1


def test_a_backward_that_makes_a_graph_is_part_of_the_loss():
    model = linear()
    reg = rt.Activity(rt.L2(1.0), select="type:Linear").on(model)
    both = alone(model, X) + alone(model, X[:4])
    real = X.clone().requires_grad_()
    judged = model(real)
    torch.autograd.grad(judged.sum(), real, create_graph=True)
    fake = model(X[:4])
    close(reg().item(), both)
    assert fake.requires_grad


@pytest.mark.parametrize("gradients", [False, True])
def test_an_evaluation_between_the_forward_and_the_reading(gradients: bool):
    model = linear()
    reg = rt.Activity(rt.L2(1.0), select="type:Linear").on(model)
    out = model(X)
    with torch.set_grad_enabled(gradients):
        model.eval()
        model(X[:4])
        close(reg().item(), alone(model, X[:4]))
        model.train()
    close(reg().item(), alone(model, X))
    assert out.requires_grad


def test_what_follows_ctrl_c_is_a_pass_of_its_own_in_any_part():
    class Interrupted(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise KeyboardInterrupt

    model = nn.Sequential(linear(), Interrupted(), nn.Sequential(nn.Linear(2, 2))).double()
    reg = rt.Activity(rt.L2(1.0), select="type:Linear").on(model)
    with pytest.raises(KeyboardInterrupt):
        model(X)
    with pytest.raises(RuntimeError, match="run the forward pass first"):
        reg()
    out = model[0](X)
    close(reg().item(), alone(model[0], X))
    assert out.requires_grad


def test_passes_in_several_threads():
    model = linear()
    expected = sum(alone(model, X + i) for i in range(3))
    reg = rt.Activity(rt.L2(1.0), select="type:Linear").on(model)
    outputs: list[Tensor] = []
    others: list[Thread] = []

    def call_another(module: nn.Module, args: object) -> None:  # in the midst of the first call
        if not others:
            others.extend(Thread(target=lambda i=i: outputs.append(model(X + i))) for i in (1, 2))
            for thread in others:
                thread.start()
                thread.join()

    model[1].register_forward_pre_hook(call_another)
    outputs.append(model(X))
    close(reg().item(), expected)


@pytest.mark.filterwarnings("ignore")
def test_a_traced_net():
    model = linear()
    rt.Activity(rt.L2(1.0), select="type:Linear").on(model)
    close(torch.jit.trace(model, X)(X), model(X))


def test_watching_changes_no_gradient():
    model, other = linear(), linear()
    reg = rt.Activity(rt.L2(1.0), select="all").on(model)
    (model(X).square().sum() + reg()).backward()
    first = other[0](X)
    second = other[1](first)
    third = other[2](second)
    (third.square().sum() + sum(h.square().sum() for h in (first, second, third)) / len(X)).backward()
    close([p.grad for p in model.parameters()], [p.grad for p in other.parameters()])
