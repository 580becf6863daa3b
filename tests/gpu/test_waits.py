"""Which rules wait for the GPU in a step: found on any machine, by tensors of a pretended GPU that have no values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException

import regtorch as rt
from cases import PENALTIES
from gpus import WAITS, Waited, pretended_gpu, waits
from sharded_rules import CONSTRAINTS_ON, PENALTIES_ON

PROXIMAL_WAITS = {"TotalVariation", "TotalVariation dim 0", "FusedLasso", "FusedLasso dim 0"}
# Masks are read when they are bound, and a backward pass needs a device: test_gpu_only.py has these.
NOT_PRETENDED = {"Custom", *(name for name in PENALTIES_ON | CONSTRAINTS_ON if name.startswith("masked"))}
RULES = {name: on for name, on in (PENALTIES_ON | CONSTRAINTS_ON).items() if name not in NOT_PRETENDED}
PROXIMAL = [name for name in RULES if name in PENALTIES_ON and (name not in PENALTIES or PENALTIES[name].proximal)]
KINDS = ("single", "foreach", "fused")


def net() -> nn.Module:
    there = {"device": "cuda"}
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, **there), nn.BatchNorm2d(4, **there), nn.Flatten(), nn.Linear(16, 3, **there)
    )


def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    for p in model.parameters():
        p.grad = torch.randn_like(p)
    optimizer.step()


def waiting(act: Callable[[], Any]) -> bool:
    """Whether it waits at its second call; the first may prepare."""
    try:
        act()
        with waits():
            act()
    except (Waited, DataDependentOutputException):
        return True
    return False


@pytest.mark.parametrize(
    ("name", "kind"),
    [*((name, "fused") for name in RULES), *((name, kind) for name in ("L2", "L1", "MaxNorm") for kind in KINDS[:2])],
)
def test_an_attached_rule_does_not_wait_in_a_step(name: str, kind: str):
    with pretended_gpu():
        model = net()
        optimizer = torch.optim.Adam(model.parameters(), **{} if kind == "single" else {kind: True})
        RULES[name](model).attach(optimizer)
        assert waiting(lambda: step(model, optimizer)) == (name in WAITS)


@pytest.mark.parametrize("name", RULES)
def test_neither_does_it_by_hand(name: str):
    with pretended_gpu():
        model = net()
        for p in model.parameters():
            p.grad = torch.randn_like(p)
        bound = RULES[name](model)
        acts = [bound.project_, bound.violation] if name in CONSTRAINTS_ON else [bound, bound.add_grad_]
        found = [waiting(act) for act in acts]
        assert any(found) == (name in WAITS)


@pytest.mark.parametrize("name", PROXIMAL)
def test_nor_in_proximal_steps(name: str):
    with pretended_gpu():
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        RULES[name](model).attach(optimizer, proximal=True)
        assert waiting(lambda: step(model, optimizer)) == (name in PROXIMAL_WAITS)


def test_what_waits_is_found():
    with pretended_gpu():
        w = torch.randn(3, device="cuda")
        assert waiting(lambda: w.sum().item())
        assert waiting(lambda: w.cpu())
        assert waiting(lambda: torch.tensor([1.0, 2.0], device="cuda"))
        assert not waiting(lambda: w.add_(1.0))


@pytest.mark.parametrize("devices", [("cpu", "cuda:0"), ("cuda:0", "cpu"), ("cuda:0", "cuda:1")], ids="-".join)
@pytest.mark.parametrize("kind", KINDS)
def test_a_net_on_two_devices(devices: tuple[str, str], kind: str):
    with pretended_gpu():
        model = nn.Sequential(*(nn.Linear(4, 4, device=device) for device in devices))
        reg = rt.L2(0.1).on(model) + rt.L1(0.1, select="all").on(model) + rt.GroupLasso(0.1).on(model)
        assert reg().device == torch.device(devices[0])
        optimizer = torch.optim.Adam(model.parameters(), **{} if kind == "single" else {kind: True})
        reg.attach(optimizer)
        norms = rt.MaxNorm(1.0).on(model)
        norms.attach(optimizer)
        step(model, optimizer)
        assert norms.violation().device == torch.device(devices[0])


def capture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)


def test_a_captured_step_refuses_a_schedule(monkeypatch: pytest.MonkeyPatch):
    """A CUDA graph would repeat the strength of the captured step."""
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    handle = rt.L2(0.1).on(model).attach(optimizer, schedule=rt.schedules.warmup(10))
    optimizer.step()
    capture(monkeypatch)
    with pytest.raises(RuntimeError, match="CUDA graph cannot capture a strength that follows a schedule"):
        optimizer.step()
    assert handle.steps == 1
    monkeypatch.undo()
    optimizer.step()
    assert handle.steps == 2


@pytest.mark.parametrize("rule", [rt.SpectralNorm(0.1), rt.SpectralMax(1.0)], ids=repr)
def test_a_captured_step_refuses_what_iterates(rule: rt.Penalty | rt.Constraint, monkeypatch: pytest.MonkeyPatch):
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    rule.on(model).attach(optimizer)
    capture(monkeypatch)
    with pytest.raises(RuntimeError, match="iterates until it has converged; leave this rule out"):
        optimizer.step()
