"""What becomes of attached rules when weights are replaced, and nets and optimizers copied or dropped."""

from __future__ import annotations

import copy
import gc
import weakref
from typing import Any

import pytest
import torch
from torch import nn

import regtorch as rt
from nets import dense


@pytest.mark.parametrize("how", ["gradient", "proximal", "constraint"])
def test_replaced_weights_are_not_forgotten_in_silence(how: str):
    model, *_ = dense()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    if how == "constraint":
        rt.MaxNorm(0.1).on(model).attach(optimizer)
    else:
        rt.L2(0.1).on(model).attach(optimizer, proximal=how == "proximal")
    model.load_state_dict({k: v.clone() for k, v in model.state_dict().items()}, assign=True)
    model.requires_grad_()
    with pytest.raises(RuntimeError, match="no longer finds its weights in this SGD"):
        optimizer.step()


def test_a_copied_optimizer_has_no_rules_as_torch_has_it():
    model, *_ = dense()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    rt.L2(0.1).on(model).attach(optimizer)
    assert not copy.deepcopy(optimizer)._optimizer_step_pre_hooks


def test_an_attached_rule_keeps_no_optimizer_alive():
    model, *_ = dense()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    handle = rt.L2(0.1).on(model).attach(optimizer)
    gone = weakref.ref(optimizer)
    del optimizer
    gc.collect()
    assert gone() is None
    handle.remove()


class Agent(nn.Module):
    """A net that holds its optimizer."""

    def __init__(self, fused: bool = False) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.optimizer = torch.optim.Adam(self.parameters(), fused=fused)


def used(fused: bool, rule: rt.Penalty | rt.MaxNorm, until: str) -> tuple[weakref.ref[Any], ...]:
    """What is left of an agent: its net, optimizer and weight."""
    agent = Agent(fused)
    handle = rule.on(agent).attach(agent.optimizer)
    if until != "attached":
        agent.layer(torch.ones(1, 3)).sum().backward()
    if until == "failed step":
        fails = agent.optimizer.register_step_post_hook(lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            agent.optimizer.step()
        fails.remove()
    if until == "step":
        agent.optimizer.step()
    if until == "attached":
        del handle
    else:
        handle.remove()
        del handle
        rule.on(agent).attach(agent.optimizer)
    return weakref.ref(agent), weakref.ref(agent.optimizer), weakref.ref(agent.layer.weight)


@pytest.mark.parametrize("until", ["attached", "backward", "failed step", "step"])
def test_a_net_its_optimizer_and_its_rules_go_together(until: str):
    rules = (rt.L2(0.1), rt.L1(0.1), rt.MaxNorm(1.0))
    left = {f"{rule} fused={fused}": used(fused, rule, until) for rule in rules for fused in (False, True)}
    gc.collect()  # once: it takes long
    assert [name for name, refs in left.items() if any(ref() is not None for ref in refs)] == []
