"""The table of what is known of optimizers, tried: step sizes to the last bit, and numbers stepped by themselves."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn, optim
from torch.optim import Optimizer

import regtorch as rt
from regtorch.steps.optimizers import facts_of, names_of, step_size

close = torch.testing.assert_close
EXACT: dict[str, Callable[[Iterable[Tensor]], Optimizer]] = {
    "SGD": lambda p: optim.SGD(p, 0.1),
    "Adam": lambda p: optim.Adam(p, 0.1, eps=0.5),
    "Adam amsgrad": lambda p: optim.Adam(p, 0.1, eps=0.5, amsgrad=True),
    "AdamW": lambda p: optim.AdamW(p, 0.1, eps=0.5, weight_decay=0.0),
    "Adamax": lambda p: optim.Adamax(p, 0.1, eps=0.5, betas=(0.0, 0.9)),
    "RMSprop": lambda p: optim.RMSprop(p, 0.1, eps=0.5),
    "RMSprop centered": lambda p: optim.RMSprop(p, 0.1, eps=0.5, centered=True),
    "Adagrad": lambda p: optim.Adagrad(p, 0.1, eps=0.5, lr_decay=0.3),
}
GRADIENT = torch.tensor([0.5, -2.0, 10.0], dtype=torch.float64)


@pytest.mark.parametrize("make", EXACT.values(), ids=EXACT)
def test_without_momentum_the_step_size_is_exact_from_the_first_step(make: Any):
    w = nn.Parameter(torch.zeros(3, dtype=torch.float64))
    optimizer = make([w])
    for _ in range(4):
        before = w.detach().clone()
        w.grad = GRADIENT.clone()
        optimizer.step()
        size = step_size(optimizer, optimizer.param_groups[0], w)
        close(before - w.detach(), size * GRADIENT, rtol=1e-12, atol=0)
        assert facts_of(optimizer).one_step_size == (not isinstance(size, Tensor) or size.ndim == 0)


def test_momentum_adds_up_to_the_step_size_at_rest():
    for options, size in (
        ({"momentum": 0.5}, 0.2),
        ({"momentum": 0.5, "dampening": 0.25}, 0.15),
        ({"momentum": 0.0}, 0.1),
    ):
        w = nn.Parameter(torch.zeros(3))
        optimizer = optim.SGD([w], 0.1, **options)
        assert step_size(optimizer, optimizer.param_groups[0], w) == pytest.approx(size)
    optimizer = optim.RMSprop([w], 0.1, momentum=0.5, eps=0.5)
    optimizer.state[w]["square_avg"] = torch.full((3,), 0.25)
    close(step_size(optimizer, optimizer.param_groups[0], w), torch.full((3,), 0.2))


CLASSES = {
    name: cls
    for name in optim.__all__
    if inspect.isclass(cls := getattr(optim, name)) and name not in ("Optimizer", "SparseAdam", "LBFGS")
}


@pytest.mark.parametrize("kind", CLASSES.values(), ids=CLASSES)
def test_elementwise_is_who_steps_each_number_by_itself(kind: Any):
    generator = torch.Generator().manual_seed(0)
    together = nn.Parameter(torch.randn(4, 3, generator=generator))
    apart = [nn.Parameter(part.clone()) for part in together.detach().split(2)]
    optimizers = [kind([together], lr=0.1), kind(apart, lr=0.1)]
    for _ in range(3):
        g = torch.randn(4, 3, generator=generator)
        together.grad = g.clone()
        for p, part in zip(apart, g.split(2), strict=True):
            p.grad = part.clone()
        for optimizer in optimizers:
            optimizer.step()
    same = torch.equal(together.detach(), torch.cat([p.detach() for p in apart]))
    assert facts_of(optimizers[0]).elementwise == same


def test_of_what_is_registered_that_is_known_which_is_said():
    class Mine(optim.SGD): ...

    net = nn.Linear(2, 1)
    optimizer = Mine(net.parameters(), lr=0.1)
    assert facts_of(optimizer).reads_loss  # it may
    rt.register_optimizer(Mine)
    facts = facts_of(optimizer)
    assert (facts.step_size, facts.elementwise, facts.one_step_size, facts.reads_loss) == (None, False, False, False)
    with pytest.raises(TypeError, match=r"unknown for Mine; use one of torch.optim's SGD, Adam, AdamW, .* or"):
        rt.L1(0.1).on(net).attach(optimizer, proximal=True)
    rt.register_optimizer(Mine, lambda group, state: 0.5, True, one_step_size=True, reads_loss=True)
    facts = facts_of(optimizer)
    assert (facts.elementwise, facts.one_step_size, facts.reads_loss) == (True, True, True)
    assert step_size(optimizer, {}, net.weight) == 0.5
    assert "Mine" in names_of(lambda facts: facts.elementwise)
    assert "Mine" not in names_of(lambda facts: facts.elementwise, "torch.optim")
    for wrong in (3, Mine(net.parameters(), lr=0.1), int):
        with pytest.raises(TypeError, match="cls must be a subclass of torch.optim.Optimizer"):
            rt.register_optimizer(wrong)
    with pytest.raises(TypeError, match="step_size must be a function of group and state, received 0.1"):
        rt.register_optimizer(Mine, 0.1)


def test_a_class_of_a_known_name_is_told_apart_by_its_module():
    other = type("Adam", (optim.SGD,), {"__module__": "somewhere"})
    net = nn.Linear(2, 1)
    with pytest.raises(TypeError, match=r"unknown for somewhere\.Adam; use one of"):
        rt.L1(0.1).on(net).attach(other(net.parameters(), lr=0.1), proximal=True)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (optim.LBFGS, "it searches along one line for all weights jointly"),
        (optim.SparseAdam, "it takes sparse gradients only"),
        (optim.Adafactor, "it scales a weight by its norm"),
        (optim.Muon, "it orthogonalises matrices"),
        (type("Mine", (optim.SGD,), {}), "it is not known to step every element independently"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_why_a_class_is_not_elementwise(kind: Any, reason: str):
    assert facts_of(kind([nn.Parameter(torch.zeros(2, 2))], lr=0.1)).why_not == reason


@pytest.mark.parametrize(
    ("step", "said"), [(None, "None"), (math.nan, "nan"), (-0.1, "-0.1"), (torch.ones(5), r"a tensor of shape \(5,\)")]
)
def test_a_step_size_that_is_none_is_refused_at_the_step(step: Any, said: str):
    class Odd(optim.SGD): ...

    rt.register_optimizer(Odd, lambda group, state: step)
    net = nn.Linear(3, 2)
    optimizer = Odd(net.parameters(), lr=0.1)
    rt.L1(0.1).on(net).attach(optimizer, proximal=True)
    net.weight.grad = torch.zeros_like(net.weight)
    with pytest.raises(
        ValueError, match=f"the step size of Odd must be a number of at least 0, .* received {said}; see"
    ):
        optimizer.step()
