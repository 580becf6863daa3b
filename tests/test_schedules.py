"""Strengths that move: schedules, by hand and attached."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch
from torch import nn, optim
from torch.nn import functional as F

import regtorch as rt
from nets import dense
from regtorch.steps.hooks import attached_to

close = torch.testing.assert_close
S = rt.schedules


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        (S.linear(2.0, 1.0, 2), [2.0, 1.5, 1.0, 1.0]),
        (S.warmup(3), [0.0, 1 / 3, 2 / 3, 1.0, 1.0]),
        (S.warmup(1), [0.0, 1.0]),
        (S.cosine(2), [1.0, 0.5, 0.0, 0.0]),
        (S.cosine(2, 0.5), [1.0, 0.75, 0.5, 0.5]),
        (S.step(2, 0.5), [1.0, 1.0, 0.5, 0.5, 0.25]),
        (S.warmup(2) | S.cosine(2), [0.0, 0.5, 1.0, 0.5, 0.0, 0.0]),
        (S.linear(3, 2, 1) | S.warmup(2) | S.step(1, 0.5), [3.0, 0.0, 0.5, 1.0, 0.5, 0.25]),
        (S.warmup(1) | (S.warmup(2) | S.cosine(2, 0.5)), [0.0, 0.0, 0.5, 1.0, 0.75, 0.5, 0.5]),
    ],
)
def test_values(schedule: Any, values: list[float]):
    assert [schedule(i) for i in range(len(values))] == pytest.approx(values, abs=1e-15)
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    assert eval(repr(schedule), vars(S)) == schedule


def test_a_sequence_needs_ends():
    assert (S.warmup(3) | S.cosine(4)).steps == 7
    for wrong in (lambda: S.step(2) | S.warmup(3), lambda: (S.warmup(1) | S.step(2)) | S.warmup(3)):
        with pytest.raises(ValueError, match=r"step\(2, 0.1\) never ends, so warmup\(3\) would never start"):
            wrong()
    with pytest.raises(TypeError, match="unsupported operand"):
        S.warmup(3) | 0.5


@pytest.mark.parametrize(
    "call",
    [
        lambda: S.warmup(0),
        lambda: S.warmup(1.5),
        lambda: S.warmup(True),
        lambda: S.cosine(2, -1.0),
        lambda: S.linear(float("nan"), 1.0, 2),
        lambda: S.step(0),
        lambda: S.step(2, "1"),
    ],
)
def test_bad_arguments(call: Any):
    with pytest.raises((TypeError, ValueError), match="must be a (whole|finite) number of at least"):
        call()


@pytest.mark.parametrize("rule", [rt.L2(0.3), rt.L1(0.1), rt.GroupLasso(0.1)], ids=str)
@pytest.mark.parametrize("fused", [False, True], ids=["plain", "fused"])
@pytest.mark.parametrize("proximal", [False, True], ids=["gradient", "proximal"])
def test_attached_it_is_the_scale_set_by_hand(rule: rt.Penalty, fused: bool, proximal: bool):
    results = []
    for by_hand in (False, True):
        model, x, y = dense()
        optimizer = optim.SGD(model.parameters(), lr=0.1, fused=fused)
        reg = rule.on(model)
        handle = reg.attach(optimizer, proximal=proximal, schedule=None if by_hand else S.linear(0.0, 2.0, 3))
        for step in range(5):
            if by_hand:
                reg.scale = min(2.0, 2 * step / 3)
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        if not by_hand:
            assert handle.steps == 5
        results.append([p.detach() for p in model.parameters()])
    close(results[0], results[1], rtol=1e-12, atol=1e-14)


def test_a_training_that_goes_on_sets_the_steps():
    model = nn.Linear(3, 2)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    reg = rt.L2(0.1).on(model)
    handle = reg.attach(optimizer, schedule=S.warmup(10))
    assert reg.scale == 0
    handle.steps = 5
    assert reg.scale == 0.5
    optimizer.step()
    assert handle.steps == 6
    for wrong in (-1, 1.0, True):
        with pytest.raises(TypeError, match="steps must be a whole number of at least 0"):
            handle.steps = wrong
    handle.remove()
    optimizer.step()
    assert handle.steps == 6


def test_a_step_that_raised_is_not_counted():
    model = nn.Linear(3, 2)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    handle = rt.L2(0.1).on(model).attach(optimizer, schedule=S.warmup(10))

    def closure() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        optimizer.step(closure)
    assert handle.steps == 0
    optimizer.step()
    assert handle.steps == 1


def test_without_a_schedule_there_are_no_steps():
    model = nn.Linear(3, 2)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    handle = rt.L2(0.1).on(model).attach(optimizer)
    with pytest.raises(AttributeError, match="has no schedule"):
        _ = handle.steps
    with pytest.raises(TypeError, match="schedule must be a function of the number of steps, received 0.5"):
        rt.L1(0.1).on(model).attach(optimizer, schedule=0.5)
    with pytest.raises(ValueError, match="after 0 steps: its factor must be a finite number of at least 0"):
        rt.L1(0.1).on(model).attach(optimizer, schedule=lambda step: -1.0)
    assert len(attached_to(optimizer)) == 1


@pytest.mark.filterwarnings("ignore")
def test_a_compiled_step():
    results = []
    for compiled in (False, True):
        model, x, y = dense()
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        rt.L2(0.3).on(model).attach(optimizer, schedule=S.warmup(4))
        step = torch.compile(optimizer.step, backend="eager") if compiled else optimizer.step
        for _ in range(6):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            step()
        results.append([p.detach() for p in model.parameters()])
    close(results[0], results[1], rtol=1e-12, atol=1e-14)


def test_how_long_a_chain_is_and_how_it_prints():
    assert (S.warmup(3) | S.cosine(4) | S.cosine(5)).steps == 12
    assert (S.warmup(3) | S.step(4)).steps is None
    assert repr(S.warmup(3) | S.cosine(4)) == "warmup(3) | cosine(4, 0)"
