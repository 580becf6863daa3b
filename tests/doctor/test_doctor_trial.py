"""A few watched steps: exact forces, and everything as it was before."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import regtorch as rt
from regtorch.doctor.finding import Finding
from regtorch.doctor.observe.restored import restored
from regtorch.doctor.observe.steps import watch_steps
from regtorch.doctor.observe.subject import Subject

close = torch.testing.assert_close


def net() -> nn.Sequential:
    torch.manual_seed(1)
    layers = nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3)
    return nn.Sequential(*layers).double()


def batches(count: int = 3) -> list[tuple[Tensor, Tensor]]:
    torch.manual_seed(2)
    return [(torch.randn(10, 6, dtype=torch.float64), torch.randint(0, 3, (10,))) for _ in range(count)]


def subject(model: nn.Module, *rules: Any, optimizer: torch.optim.Optimizer | None = None) -> Subject:
    return Subject.admit(model, F.cross_entropy, batches(), optimizer, rules)


OPTIMIZERS: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "sgd": lambda m: torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9),
    "adam": lambda m: torch.optim.Adam(m.parameters(), lr=0.01),
}


def everything(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    return copy.deepcopy(
        {
            "state": model.state_dict(),
            "grads": {n: p.grad for n, p in model.named_parameters()},
            "trainable": [p.requires_grad for p in model.parameters()],
            "modes": [m.training for m in model.modules()],
            "optimizer": optimizer.state_dict(),
            "rng": torch.get_rng_state(),
        }
    )


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_nothing_is_changed(kind: str):
    model = net()
    optimizer = OPTIMIZERS[kind](model)
    handle = rt.L2(0.1).on(model).attach(optimizer)
    for x, y in batches():  # an optimizer with a state, gradients that are there
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    model[1].eval()
    examined = subject(model, rt.L1(0.1), rt.MaxNorm(0.5), optimizer=optimizer)
    before, identities = everything(model, optimizer), [id(t) for t in (*model.parameters(), *model.buffers())]
    states = random.getstate(), np.random.get_state()[1].copy()
    watch_steps(examined, 5)
    close(everything(model, optimizer), before, rtol=0, atol=0)
    assert identities == [id(t) for t in (*model.parameters(), *model.buffers())]
    assert random.getstate() == states[0]
    assert (np.random.get_state()[1] == states[1]).all()
    handle.remove()


def test_what_fails_inside_changes_nothing_either():
    model = net()
    before = copy.deepcopy(model.state_dict())

    def spoil() -> None:
        with restored(model), torch.no_grad():
            model[0].weight.zero_()
            model[1].running_mean = torch.ones(8, dtype=torch.float64)
            model.eval().requires_grad_(False)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        spoil()
    close(model.state_dict(), before, rtol=0, atol=0)
    assert model.training
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_the_steps_are_those_of_training_with_the_rules(kind: str):
    model = net()
    model[3].p = 0.0
    optimizer = OPTIMIZERS[kind](model)
    watched = watch_steps(subject(model, rt.L2(0.05), rt.MaxNorm(1.0), optimizer=optimizer), 4)
    reg, bound = rt.L2(0.05).on(model), rt.MaxNorm(1.0).on(model)
    norms: list[float] = []
    for number in range(4):
        x, y = batches()[number % 3]
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        norms.append(model[0].weight.norm().item())
        assert watched.steps[number].task_loss == pytest.approx(loss.item(), rel=1e-12)
        assert watched.steps[number].penalty == pytest.approx(reg().item(), rel=1e-12)
        loss.backward()
        reg.add_grad_()
        optimizer.step()
        bound.project_()
    assert [step.forces["0.weight"].norm for step in watched.steps] == pytest.approx(norms, rel=1e-12)
    assert watched.norms["0.weight"] == pytest.approx(model[0].weight.norm().item(), rel=1e-12)


def test_the_forces_are_the_two_gradients():
    model = net()
    model[3].p = 0.0
    (x, y), rule = batches()[0], rt.L1(0.02)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    (step,) = watch_steps(subject(model, rule, optimizer=optimizer), 1).steps
    F.cross_entropy(model(x), y).backward()
    for name in ("0.weight", "4.weight"):
        w = model.get_parameter(name)
        assert w.grad is not None
        task, pull, forces = w.grad, rule.grad(w), step.forces[name]
        assert (forces.task, forces.penalty) == pytest.approx((task.norm().item(), pull.norm().item()))
        assert forces.cosine == pytest.approx(F.cosine_similarity(task.flatten(), pull.flatten(), 0).item())
        assert step.updates[name] * forces.norm == pytest.approx(0.1 * (task + pull).norm().item())


def test_without_penalties_only_they_are_left_out():
    model = net()
    with_rule, without = (watch_steps(subject(model, rt.L2(0.5)), 3, penalties=on) for on in (True, False))
    plain = watch_steps(subject(model, rt.L2(0.0)), 3)
    assert [s.task_loss for s in without.steps] == [s.task_loss for s in plain.steps]
    assert with_rule.steps[0].task_loss == without.steps[0].task_loss  # the same dropout masks
    assert with_rule.norms["0.weight"] < without.norms["0.weight"]


def test_an_activity_penalty_takes_part():
    model = net()
    rule = rt.Activity(rt.L2(10.0), select="type:ReLU")
    with_rule, without = (watch_steps(subject(model, rule), 3, penalties=on) for on in (True, False))
    assert with_rule.steps[2].task_loss != without.steps[2].task_loss


def test_a_loss_that_is_no_number_ends_the_trial():
    model = net()
    with torch.no_grad():
        model[4].weight.fill_(math.nan)
    ended = watch_steps(subject(model, rt.L2(0.1)), 5)
    assert ended.diverged
    assert ended.steps == []
    assert math.isnan(ended.mean_task_loss(slice(None)))


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "no module": (lambda: subject("net"), "model must be a torch.nn.Module, received str"),
    "no loss": (lambda: Subject.admit(net(), 3, batches(), None, ()), "loss_fn must be a function"),
    "no batches": (lambda: Subject.admit(net(), F.cross_entropy, [], None, ()), "batches is empty"),
    "no pairs": (
        lambda: Subject.admit(net(), F.cross_entropy, [torch.zeros(3)], None, ()),
        "each of batches must be a pair .* received a Tensor",
    ),
    "three": (
        lambda: Subject.admit(net(), F.cross_entropy, [(1, 2, 3)], None, ()),
        "must be a pair .* received a tuple of 3",
    ),
    "another model's optimizer": (
        lambda: subject(net(), optimizer=torch.optim.SGD(net().parameters())),
        "owns none of the model's parameters",
    ),
    "no optimizer": (lambda: subject(net(), optimizer=0.1), "must be a torch.optim.Optimizer, received float"),
    "no rule": (lambda: subject(net(), "l2"), "rules must be penalties or constraints, received 'l2'"),
    "a loss a sample": (
        lambda: watch_steps(Subject.admit(net(), nn.CrossEntropyLoss(reduction="none"), batches(), None, ()), 1),
        r"loss_fn must return one number, received shape \[10\]; take the mean",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_examined_is_told(case: str):
    make, message = WRONG[case]
    with pytest.raises((TypeError, ValueError), match=message):
        make()


def test_a_findings_severity_is_one_of_three():
    with pytest.raises(ValueError, match="severity must be one of severe, warning, info, received 'bad'"):
        Finding("cause", "where", cast("Any", "bad"), why="w", change="c")
