"""A schedule that gives no factor: an error at that step, before anything of it is done."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn, optim
from torch.nn import functional as F

import regtorch as rt
from nets import dense

S = rt.schedules
WRONG = {"negative": -1.0, "nan": math.nan, "infinite": math.inf, "text": "1", "nothing": None, "true": True}


def bad_at(step: int, value: Any) -> Callable[[int], Any]:
    return lambda made: value if made == step else 0.5


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("way", ["gradient", "proximal", "closure"])
def test_nothing_of_the_step_is_done(way: str, wrong: Any):
    model, x, y = dense()
    optimizer: Any = optim.LBFGS(model.parameters()) if way == "closure" else optim.SGD(model.parameters(), lr=0.1)
    first = rt.L2(0.1, select="bias").on(model)
    handles = [
        first.attach(optimizer, proximal=way == "proximal", schedule=S.warmup(4)),
        rt.L1(0.1).on(model).attach(optimizer, proximal=way == "proximal", schedule=bad_at(2, wrong)),
    ]
    runs = 0

    def closure() -> torch.Tensor:
        nonlocal runs
        runs += 1
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        return loss

    def take() -> None:
        if way == "closure":
            optimizer.step(closure)
        else:
            closure()
            optimizer.step()

    for _ in range(2):
        take()
    weights, seen = [p.detach().clone() for p in model.parameters()], runs
    for _ in range(2):  # also when it is tried again
        with pytest.raises((TypeError, ValueError), match="after 2 steps: its factor must be a finite number"):
            take()
        assert [handle.steps for handle in handles] == [2, 2]
        assert first.scale == 0.25
        assert all(map(torch.equal, weights, model.parameters()))
    if way == "closure":
        assert runs == seen
    else:
        expected = torch.autograd.grad(F.cross_entropy(model(x), y), list(model.parameters()))
        torch.testing.assert_close([p.grad for p in model.parameters()], list(expected), rtol=0, atol=0)
    handles[1].remove()
    take()
    assert handles[0].steps == 3


@pytest.mark.parametrize("fused", [False, True], ids=["plain", "fused"])
def test_a_step_that_a_scaler_leaves_out_counts_for_nothing(fused: bool):
    model = nn.Linear(4, 2)
    optimizer = optim.SGD(model.parameters(), lr=0.1, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    handle = rt.L2(0.1).on(model).attach(optimizer, schedule=bad_at(1, -1.0))

    def take(x: torch.Tensor) -> None:
        optimizer.zero_grad()
        scaler.scale(model(x).sum()).backward()
        scaler.step(optimizer)
        scaler.update()

    take(torch.full((2, 4), torch.inf))
    assert handle.steps == 0
    take(torch.ones(2, 4))
    assert handle.steps == 1
    with pytest.raises(ValueError, match="after 1 steps"):
        take(torch.ones(2, 4))


def test_a_number_of_steps_without_a_factor_is_refused():
    model = nn.Linear(4, 2)
    reg = rt.L2(0.1).on(model)
    handle = reg.attach(optim.SGD(model.parameters(), lr=0.1), schedule=bad_at(7, math.nan))
    with pytest.raises(ValueError, match="after 7 steps"):
        handle.steps = 7
    assert handle.steps == 0
    assert reg.scale == 0.5


def test_a_growth_beyond_every_float():
    with pytest.raises(ValueError, match=r"step\(1, 10\) after 400 steps: its factor must be a finite number"):
        S.factor_at(S.step(1, 10.0), 400)


@pytest.mark.parametrize("make", [S.linear, S.warmup, S.cosine, S.step])
def test_no_steps_are_refused(make: Callable[..., Any]):
    arguments = (0.0, 1.0, 0) if make is S.linear else (0,)
    with pytest.raises(ValueError, match=f"{make.__name__}: .* must be a whole number of at least 1, received 0"):
        make(*arguments)


def test_a_function_is_named_by_its_own_name():
    with pytest.raises(ValueError, match=r"schedule bad_at\.<locals>\.<lambda> after 3 steps"):
        S.factor_at(bad_at(3, -1.0), 3)
