"""A penalty under torch.func: exact where it can follow the weights, an error where it would be a constant."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, jvp, vjp, vmap
from torch.nn import functional as F

import regtorch as rt
from nets import dense

RULES = [rt.L2(0.1), rt.L1(0.1), rt.GroupLasso(0.1), rt.Orthogonal(0.1)]


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_read_inside_functional_call_or_as_a_function_it_is_exact(rule: rt.Penalty):
    model, x, y = dense()
    reg = rule.on(model)
    names = list(rt.select.weights(model, rule.select))

    class Both(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = model

        def forward(self, x: Tensor) -> Tensor:
            return F.cross_entropy(self.net(x), y) + reg()

    both = Both()
    params = {name: p.detach() for name, p in both.named_parameters()}
    inside = grad(lambda p: functional_call(both, p, x))(params)
    plain = {name: p.detach() for name, p in model.named_parameters()}
    by_hand = grad(lambda p: F.cross_entropy(functional_call(model, p, x), y) + sum(rule(p[n]) for n in names))(plain)
    (F.cross_entropy(model(x), y) + reg()).backward()
    for name, p in model.named_parameters():
        torch.testing.assert_close(inside[f"net.{name}"], p.grad, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(by_hand[name], p.grad, rtol=1e-12, atol=1e-14)


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning", "ignore:.torch.jit:DeprecationWarning")  # jvp's own
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_outside_it_would_be_a_constant_and_raises(rule: rt.Penalty):
    model, x, y = dense()
    reg = rule.on(model)
    params = {name: p.detach() for name, p in model.named_parameters()}

    def loss(p: dict[str, Tensor]) -> Tensor:
        return F.cross_entropy(functional_call(model, p, (x,)), y) + reg()

    for transform in (grad(loss), lambda p: vjp(loss, p), lambda p: jvp(loss, (p,), (p,))):
        with pytest.raises(RuntimeError, match=r"under torch\.func\.grad the module's own weights.* are constants"):
            transform(params)
    with pytest.raises(RuntimeError, match="rt.select.weights"):
        vmap(grad(lambda p, one: functional_call(model, p, (one,)).sum() + reg()), in_dims=(None, 0))(params, x)


def test_without_differentiation_it_is_a_number_as_ever():
    model, x, _ = dense()
    reg = rt.L2(0.1).on(model)
    value = vmap(lambda one: model(one).sum() + reg())(x)
    torch.testing.assert_close(value, model(x).sum(1) + reg())
