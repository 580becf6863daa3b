"""`debug=True`: rules are tried on copies of the real weights before the first step does anything."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn, optim
from torch.nn import functional as F

import regtorch as rt
from cases import CONSTRAINTS, PENALTIES
from nets import NETS, dense
from wrong_rules import WRONG, Elsewhere, Loose


def a_step(model: nn.Module, optimizer: Any, *data: torch.Tensor) -> None:
    optimizer.zero_grad()
    x, y = data
    F.cross_entropy(model(x), y).backward()
    optimizer.step()


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("closure", [False, True], ids=["plain", "closure"])
def test_a_wrong_penalty_is_named_at_the_first_step(name: str, closure: bool):
    rule, message = WRONG[name]
    message = message.replace(r"\(1,\)", r"\(5, 6\)")
    model, x, y = dense()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    (rule.on(model) + rt.L2(0.1, select="bias").on(model)).attach(optimizer, debug=True)
    before = [p.detach().clone() for p in model.parameters()]
    F.cross_entropy(model(x), y).backward()
    grads = [p.grad.clone() for p in model.parameters()]
    for _ in range(2):  # again when it is tried again
        with pytest.raises(AssertionError, match=rf"(?s)^on the weight '0.weight': .*{message}.*w = tensor"):
            optimizer.step(lambda: 0.0) if closure else optimizer.step()
    for p, old, grad in zip(model.parameters(), before, grads, strict=True):
        assert torch.equal(p, old)
        assert torch.equal(p.grad, grad)


@pytest.mark.parametrize("rule", [Loose(), Elsewhere()], ids=repr)
def test_a_wrong_constraint(rule: rt.Constraint):
    model, x, y = dense()
    with torch.no_grad():
        model[0].weight.mul_(3)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    rule.on(model).attach(optimizer, debug=True)
    with pytest.raises(AssertionError, match="on the weight '0.weight': "):
        a_step(model, optimizer, x, y)


@pytest.mark.sampled(25)
@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("case", PENALTIES.values(), ids=PENALTIES)
def test_every_penalty_of_the_library_keeps_its_promises(case: Any, net: str):
    model, _, _ = NETS[net]()
    optimizer = optim.SGD(model.parameters(), lr=0.0)
    case.rule.on(model).attach(optimizer, debug=True)
    state = torch.get_rng_state()
    before = [p.detach().clone() for p in model.parameters()]
    optimizer.step()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(map(torch.equal, before, model.parameters()))


@pytest.mark.parametrize("case", CONSTRAINTS.values(), ids=CONSTRAINTS)
def test_every_constraint_too(case: Any):
    model, x, y = dense()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    case.rule.on(model).attach(optimizer, debug=True)
    a_step(model, optimizer, x, y)


@pytest.mark.parametrize("case", PENALTIES.values(), ids=PENALTIES)
def test_large_weights_are_no_fault(case: Any):
    torch.manual_seed(0)
    model = nn.Linear(1000, 64)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    case.rule.on(model).attach(optimizer, debug=True)
    optimizer.step()


def kinks() -> nn.Module:
    """Where penalties have many gradients: equal singular values, zeros, constant weights."""
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)).float()
    nn.init.orthogonal_(net[0].weight)
    nn.init.zeros_(net[1].weight)
    nn.init.ones_(net[2].weight)
    return net


@pytest.mark.parametrize("rule", [rt.SpectralNorm(0.1), rt.NuclearNorm(0.1), rt.TotalVariation(0.1, 0), rt.L1(0.1)])
def test_weights_that_lie_at_a_kink_are_no_fault(rule: rt.Penalty):
    model = kinks()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    rule.on(model).attach(optimizer, debug=True)
    optimizer.step()


def test_it_is_tried_once_and_not_when_it_was_taken_off():
    calls = 0

    def counted(w: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return w.float().square().sum() if w.dtype == torch.half else w.square().sum()

    model, x, y = dense()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    rt.Custom(counted, 0.1).on(model).attach(optimizer, debug=True)
    counts = []
    for _ in range(3):
        a_step(model, optimizer, x, y)
        counts.append(calls)
    assert counts[1] - counts[0] == counts[2] - counts[1] < 10
    wrong = WRONG["grad"][0].on(model).attach(optimizer, debug=True)
    wrong.remove()
    a_step(model, optimizer, x, y)


@pytest.mark.filterwarnings("ignore")
def test_a_compiled_step():
    model, x, y = dense()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    WRONG["grad"][0].on(model).attach(optimizer, debug=True)
    F.cross_entropy(model(x), y).backward()
    with pytest.raises(AssertionError, match="has grad"):
        torch.compile(optimizer.step, backend="eager")()
