"""Penalties of input gradients against functional Jacobians, finite differences and hand formulas, in float64."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

import regtorch as rt

close = torch.testing.assert_close
SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.integers(1, 4)


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def a_net(inputs: int, outputs: int) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, 5), nn.Tanh(), nn.Linear(5, outputs)).double()


def jacobians(net: nn.Module, x: Tensor) -> Tensor:
    """The Jacobian of each sample, (batch, outputs, inputs)."""
    return vmap(jacrev(lambda one: net(one.unsqueeze(0))[0]))(x).flatten(2)


@settings(deadline=None, max_examples=30)
@given(SEEDS, SIZES, SIZES, st.lists(SIZES, min_size=1, max_size=3))
def test_the_jacobians_squared_norm(seed: int, batch: int, outputs: int, shape: list[int]):
    net, x = a_net(math.prod(shape), outputs), drawn(seed, batch, *shape)
    expected = 0.3 * jacobians(net, x).square().sum((1, 2)).mean()
    close(rt.JacobianPenalty(0.3)(net, x), expected, rtol=1e-12, atol=1e-13)


@settings(deadline=None, max_examples=30)
@given(SEEDS, SIZES, st.lists(SIZES, min_size=1, max_size=3), st.sampled_from([0.0, 1.0, 2.5]))
def test_the_gradients_distance_from_its_target(seed: int, batch: int, shape: list[int], target: float):
    net, x = a_net(math.prod(shape), 1), drawn(seed, batch, *shape)
    norms = jacobians(net, x).square().sum((1, 2)).sqrt()
    close(rt.GradientPenalty(0.3, target)(net, x), 0.3 * (norms - target).square().mean(), rtol=1e-11, atol=1e-13)
    flat = rt.GradientPenalty(0.3, target)(lambda x: net(x).squeeze(1), x)
    close(flat, rt.GradientPenalty(0.3, target)(net, x))


def test_against_finite_differences():
    net, x, step = a_net(3, 2), drawn(0, 4, 3), 1e-6
    total = 0.0
    with torch.no_grad():
        for at in range(3):
            e = torch.zeros(3, dtype=torch.float64)
            e[at] = step
            total += float(((net(x + e) - net(x - e)) / (2 * step)).square().sum(1).mean())
    assert rt.JacobianPenalty(1.0)(net, x).item() == pytest.approx(total, rel=1e-8)


RULES = [
    rt.JacobianPenalty(0.3),
    rt.JacobianPenalty(0.3, projections=2),
    rt.GradientPenalty(0.3),
    rt.GradientPenalty(0.3, target=1.0),
]


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_the_weights_gradients_are_those_of_finite_differences(rule: rt.JacobianPenalty | rt.GradientPenalty):
    net, x = a_net(3, 1), drawn(1, 4, 3)
    names, weights = zip(*net.named_parameters(), strict=True)

    def value(*given: Tensor) -> Tensor:
        torch.manual_seed(3)  # the same directions each time
        return rule(lambda x: functional_call(net, dict(zip(names, given, strict=True)), (x,)), x)

    # The last bias moves no gradient, so that gradcheck cannot ask for it.
    assert torch.autograd.gradcheck(lambda *w: value(*w, weights[-1].detach()), weights[:-1])


def test_projections_come_to_the_exact_value_on_average():
    net, x = a_net(6, 4), drawn(2, 5, 6)
    exact = rt.JacobianPenalty(1.0)(net, x).item()
    torch.manual_seed(0)
    estimates = torch.stack([rt.JacobianPenalty(1.0, projections=1)(net, x).detach() for _ in range(2000)])
    error = float(estimates.std()) / math.sqrt(2000)
    assert abs(float(estimates.mean()) - exact) < 4 * error
    assert error < 0.02 * exact
    many = rt.JacobianPenalty(1.0, projections=2000)(net, x)
    assert many.item() == pytest.approx(exact, abs=5 * error)
    one = a_net(6, 1)  # a unit vector of one output is ±1
    close(rt.JacobianPenalty(1.0, projections=1)(one, x), rt.JacobianPenalty(1.0)(one, x))


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_of_a_pass_that_was_made(rule: rt.JacobianPenalty | rt.GradientPenalty):
    net, x = a_net(3, 1), drawn(3, 4, 3).requires_grad_()
    values = []
    for call in (lambda: rule.of(net(x), x), lambda: rule(net, x), lambda: rule(net, x.detach())):
        torch.manual_seed(0)
        values.append(call())
    close(values[0], values[1])
    close(values[0], values[2])


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_without_gradients_it_is_a_number(rule: rt.JacobianPenalty | rt.GradientPenalty, mode: Callable[[], object]):
    net, x = a_net(3, 1), drawn(4, 4, 3)
    torch.manual_seed(0)
    expected = rule(net, x)
    with mode():  # pyright: ignore[reportGeneralTypeIssues]
        torch.manual_seed(0)
        value = rule(net, x * 1)
    assert not value.requires_grad
    close(value, expected.detach())
    assert all(p.grad is None for p in net.parameters())


def test_it_reaches_what_made_the_inputs():
    net, first = a_net(3, 1), nn.Linear(3, 3).double()
    rt.JacobianPenalty(1.0)(net, first(drawn(5, 4, 3))).backward()
    assert first.weight.grad is not None
    assert first.weight.grad.any()
    x = drawn(5, 4, 3).requires_grad_()
    rt.JacobianPenalty(1.0)(net, x).backward()
    assert x.grad is not None
    assert x.grad.any()


def test_a_flat_function_has_a_finite_gradient():
    w = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    x = drawn(6, 4, 3)
    value = rt.GradientPenalty(0.3, target=1.0)(lambda x: x @ w.mT, x)
    close(value, torch.tensor(0.3, dtype=torch.float64))
    value.backward()
    assert w.grad is not None
    assert w.grad.isfinite().all()


def test_strength_zero_makes_no_pass():
    def never(x: Tensor) -> Tensor:
        raise AssertionError

    for rule in (rt.JacobianPenalty(0.0), rt.GradientPenalty(0.0)):
        value = rule(never, drawn(0, 2, 3))
        assert value == 0
        value.backward()
        x = drawn(0, 2, 3).requires_grad_()
        assert rule.of(2 * x.sum(1), x) == 0


def test_an_empty_batch_costs_nothing():
    for rule in (rt.JacobianPenalty(), rt.JacobianPenalty(projections=1), rt.GradientPenalty()):
        value = rule(a_net(3, 1), torch.zeros(0, 3, dtype=torch.float64))
        assert value == 0
        value.backward()


@pytest.mark.parametrize("rule", RULES, ids=repr)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_float32(rule: rt.JacobianPenalty | rt.GradientPenalty, dtype: torch.dtype):
    scale = torch.full((1, 1), 300.0)  # 300² is beyond float16

    def net(x: Tensor) -> Tensor:
        return x @ scale.to(dtype)

    value = rule(net, torch.ones(4, 1, dtype=dtype))
    assert value.dtype == torch.float32
    target = getattr(rule, "target", 0.0)
    close(value, torch.tensor(0.3 * (300.0 - target) ** 2))


def test_autocast():
    net, x = a_net(3, 2).float(), drawn(7, 4, 3).float()
    with torch.autocast("cpu", torch.bfloat16):
        value = rt.JacobianPenalty(0.3)(net, x)
    assert value.dtype == torch.float32
    close(value, rt.JacobianPenalty(0.3)(net, x), rtol=0.05, atol=0)


def test_what_does_not_fit_is_refused():
    net, x = a_net(3, 2), drawn(8, 4, 3)
    with pytest.raises(ValueError, match=r"GradientPenalty: outputs must be one number per sample, received shape"):
        rt.GradientPenalty()(net, x)
    with pytest.raises(ValueError, match=r"outputs must have a gradient by x; call x.requires_grad_\(\) before"):
        rt.JacobianPenalty().of(net(x), x)
    with pytest.raises(ValueError, match=r"outputs must be computed from x; give the tensor"):
        rt.JacobianPenalty().of(net(x), x.clone().requires_grad_())
    with pytest.raises(ValueError, match=r"outputs must have one row per sample of 4, received 3"):
        rt.JacobianPenalty()(lambda x: x[:3], x)
    with pytest.raises(TypeError, match=r"JacobianPenalty: x must be a real .*, received torch.int64"):
        rt.JacobianPenalty()(net, torch.zeros(2, 3, dtype=torch.int64))
    for projections, error in ((0, ValueError), (-1, ValueError), (1.0, TypeError), (True, TypeError)):
        with pytest.raises(error, match="JacobianPenalty: projections must be"):
            rt.JacobianPenalty(1.0, projections)
    for target, error in ((-1, ValueError), (math.nan, ValueError), ("1", TypeError)):
        with pytest.raises(error, match="GradientPenalty: target must be"):
            rt.GradientPenalty(1.0, target)
