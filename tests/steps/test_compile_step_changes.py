"""Changes of the net or the optimizer between compiled steps: each is noticed, and the step right."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from test_compile_step import OPTIMIZERS, assert_alike, batches, pair, train
from test_compile_step_odd import Of
from torch import Tensor, nn

import regtorch as rt

Change = Callable[[Any, Any], Any]
SCALE = 1.0


def halve(p: Tensor) -> None:
    assert p.grad is not None
    p.grad.mul_(0.5)


def clip(optimizer: Any, *_: Any) -> None:
    for p in optimizer.param_groups[0]["params"]:
        if p.grad is not None:
            p.grad.mul_(0.1)


def another_scale(net: Any, optimizer: Any) -> None:
    global SCALE
    SCALE = 2.0


def another_layer(net: Any, _: Any) -> None:
    torch.manual_seed(1)
    net.layer = nn.Linear(6, 3).double()


CHANGES: dict[str, tuple[Change, str]] = {
    "a weight is used": (lambda net, _: setattr(net, "on", True), ""),
    "evaluation": (lambda net, _: net.eval(), ""),
    "a global": (another_scale, ""),
    "numbers of a frozen weight": (lambda net, _: setattr(net.frozen.weight, "data", torch.eye(6).double()), ""),
    "a hook": (lambda net, _: net.layer.register_forward_hook(lambda m, x, out: out * 2), ""),
    "a hook before": (lambda net, _: net.layer.register_forward_pre_hook(lambda m, x: (x[0] * 2,)), ""),
    "a hook of backward": (lambda net, _: net.layer.register_full_backward_hook(lambda m, g, of: None), "backward"),
    "a gradient's hook": (lambda net, _: net.layer.weight.register_hook(lambda g: g * 2), "hooks act on the gradient"),
    "a hook after": (lambda net, _: net.layer.weight.register_post_accumulate_grad_hook(halve), "hooks act on"),
    "a layer that is replaced": (another_layer, "it is not the optimizer's"),
    "a step's hook": (lambda _, optimizer: optimizer.register_step_pre_hook(clip), "a pre-hook of the steps"),
}


class Changed(Of):
    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Linear(6, 6).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        out = self.layer(self.frozen(x)) * SCALE
        return out + self.other(x) if self.on else out * (2 if self.training else 3)


@pytest.mark.sampled(4)
@pytest.mark.parametrize(("change", "words"), CHANGES.values(), ids=CHANGES.keys())
def test_a_change_of_the_net_is_noticed(quickly: None, monkeypatch: pytest.MonkeyPatch, change: Change, words: str):
    monkeypatch.setitem(globals(), "SCALE", 1.0)
    step, by_parts, nets, optimizers = pair(OPTIMIZERS["SGD nesterov"], [], Changed)
    data = batches(8)
    train(step, by_parts, data[:4])
    assert step.why_not == ""
    for net, optimizer in zip(nets, optimizers, strict=True):
        change(net, optimizer)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        train(step, by_parts, data[4:])
    assert len([w for w in seen if "compile_step" in str(w.message)]) == bool(words)
    assert words in step.why_not
    assert_alike(nets, optimizers)


def test_a_weight_is_used_by_turns(quickly: None):
    step, by_parts, nets, optimizers = pair(OPTIMIZERS["SGD nesterov"], [], Changed)
    for at, batch in enumerate(batches(6)):
        for net in nets:
            net.on = at in (0, 1, 4, 5)
        train(step, by_parts, [batch])
    assert step.why_not == ""
    assert_alike(nets, optimizers)


def test_no_gradient_is_left_and_none_is_added(uncompiled: list[Any]):
    step, by_parts, nets, optimizers = pair(OPTIMIZERS["SGD"], [(rt.L2(0.1), {})])
    data = batches(6)
    for x, y in data:
        train(step, by_parts, [(x, y)])
        for p in nets[0].parameters():
            assert p.grad is None or x is data[0][0]
            p.grad = torch.ones_like(p)  # of nobody: a step begins without gradients
    assert_alike(nets, optimizers)
