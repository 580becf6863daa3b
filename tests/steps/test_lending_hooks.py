"""Users' hooks beside decay that is lent: they see the users' groups, and what they set is heard."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, Optimizer

import regtorch as rt
from fused import LAM, attached, batch, groups_of, three_layers


@pytest.fixture(autouse=True)
def lent_however_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regtorch.bound.penalty.LEAST_LENT", 0)


@pytest.fixture
def net() -> nn.Module:
    return three_layers()


def test_a_hook_that_sets_the_rate_is_heard(net: nn.Module):
    optimizer = SGD(net.parameters(), lr=0.1, fused=True)

    def halve(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        for group in optimizer.param_groups:
            group["lr"] /= 2

    optimizer.register_step_post_hook(halve)  # before ours, so that it sees what is lent
    attached(net, optimizer, rt.L2(LAM))
    net(batch()).square().mean().backward()
    optimizer.step()
    assert [g["lr"] for g in optimizer.param_groups] == [0.05]


@pytest.mark.parametrize("after_ours", [False, True])
@pytest.mark.parametrize("look", [lambda o: o.state_dict(), copy.deepcopy, groups_of, lambda o: repr(o)])
def test_hooks_that_look_at_the_optimizer_see_the_users_groups_and_change_nothing(
    net: nn.Module, after_ours: bool, look: Callable[[Optimizer], Any]
):
    twin = copy.deepcopy(net)
    optimizer, theirs = Adam(net.parameters(), fused=True), Adam(twin.parameters())
    own, seen = groups_of(optimizer), []

    def looking(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        look(optimizer)
        seen.append(groups_of(optimizer))

    if not after_ours:
        optimizer.register_step_pre_hook(looking)
        optimizer.register_step_post_hook(looking)
    attached(net, optimizer, rt.L2(LAM))
    if after_ours:
        optimizer.register_step_pre_hook(looking)
        optimizer.register_step_post_hook(looking)
    for step in range(3):
        net(batch(step)).square().mean().backward()
        optimizer.step()
        (twin(batch(step)).square().mean() + rt.L2(LAM).on(twin)()).backward()
        theirs.step()
        optimizer.zero_grad()
        theirs.zero_grad()
    assert seen == [own] * 6
    torch.testing.assert_close(list(net.parameters()), list(twin.parameters()), rtol=1e-12, atol=1e-14)


def test_hooks_see_the_users_groups_in_the_steps_arguments_too(net: nn.Module):
    optimizer = Adam(net.parameters(), fused=True)
    own, seen, copies = groups_of(optimizer), [], []

    def looking(_: Optimizer, args: Any, kwargs: Any) -> None:
        seen.append(groups_of(args[0]))
        copies.extend([copy.deepcopy(args[0]), pickle.loads(pickle.dumps(args[0]))])

    optimizer.register_step_post_hook(looking)
    attached(net, optimizer, rt.L2(LAM))
    optimizer.register_step_pre_hook(looking)
    net(batch()).square().mean().backward()
    optimizer.step()
    assert seen == [own] * 2
    for other in copies:
        assert type(other) is Adam
        other.step()


def test_a_rate_and_a_group_that_a_later_hook_sets_are_heard(net: nn.Module):
    first, *rest = net.children()
    optimizer = SGD(first.parameters(), lr=0.1, fused=True)
    twin = copy.deepcopy(net)
    attached(net, optimizer, rt.L2(LAM))

    def change(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        optimizer.param_groups[0]["lr"] = 0.5
        optimizer.add_param_group({"params": [p for m in rest for p in m.parameters()], "lr": 0.2})

    handle = optimizer.register_step_pre_hook(change)
    net(batch()).square().mean().backward()
    optimizer.step()
    handle.remove()
    (twin(batch()).square().mean() + rt.L2(LAM, select="kernel name:0.*").on(twin)()).backward()
    for i, (p, q) in enumerate(zip(net.parameters(), twin.parameters(), strict=True)):
        torch.testing.assert_close(p.detach(), q.detach() - (0.5 if i < 2 else 0.2) * q.grad, rtol=1e-12, atol=1e-14)


def test_a_hook_that_replaces_the_steps_arguments_is_an_error(net: nn.Module):
    optimizer = SGD(net.parameters(), lr=0.1, fused=True)
    attached(net, optimizer, rt.L2(LAM))
    handle = optimizer.register_step_pre_hook(lambda o, args, kwargs: ((o,), {}))
    net(batch()).square().mean().backward()
    with pytest.raises(RuntimeError, match="replaced the arguments of the step, so the penalty did not act"):
        optimizer.step()
    handle.remove()
    optimizer.step()
