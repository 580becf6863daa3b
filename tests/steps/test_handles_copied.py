"""A handle that is copied or pickled, as a part of what is saved."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import regtorch as rt

COPIES: list[Callable[[Any], Any]] = [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))]


@pytest.mark.parametrize("copied", COPIES)
def test_a_copy_is_of_a_rule_that_is_detached(copied: Callable[[Any], Any]):
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    handle = rt.L2(0.1).on(model).attach(optimizer, schedule=rt.schedules.warmup(4))
    handle.steps = 2
    twin = copied(handle)
    assert repr(twin) == "Handle(L2(lam=0.1) on weight, removed)"
    assert "removed" not in repr(handle)
    twin.remove()
    before = model.weight.detach().clone()
    model.weight.grad = torch.zeros_like(model.weight)
    optimizer.step()
    assert not torch.equal(model.weight, before)
    assert handle.steps == 3
    assert copied(twin).steps == twin.steps == 2
    with pytest.raises(AttributeError, match="has no schedule"):
        twin.steps = 3


def test_a_shallow_copy_is_a_handle_of_the_same_rule():
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    handle = rt.L2(0.1).on(model).attach(optimizer)
    copy.copy(handle).remove()
    assert not optimizer._optimizer_step_pre_hooks


def test_what_holds_a_handle_can_be_copied():
    model = nn.Linear(3, 2)
    handle = rt.MaxNorm(1.0).on(model).attach(torch.optim.SGD(model.parameters(), lr=0.1))
    kept = {"model": model, "handle": handle}
    assert pickle.loads(pickle.dumps(kept))["model"].weight.equal(model.weight)
    with pytest.raises(AttributeError, match="has no schedule"):
        _ = copy.deepcopy(kept)["handle"].steps


@pytest.mark.parametrize("copied", COPIES)
def test_a_copy_of_fuse_is_of_an_optimizer_that_makes_its_own_steps(copied: Callable[[Any], Any]):
    optimizer = torch.optim.SGD(nn.Linear(3, 2).parameters(), lr=0.1)
    handle = rt.fuse(optimizer)
    twin = copied({"handle": handle})["handle"]
    assert repr(twin) == "Fused(SGD, removed)"
    twin.remove()
    assert repr(handle) == repr(copy.copy(handle)) == "Fused(SGD)"
    copy.copy(handle).remove()
    assert repr(handle) == "Fused(SGD, removed)"
