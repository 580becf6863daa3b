"""Rules on a GPU. What needs none runs on the CPU as well, in another dtype than its reference."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional as F

import regtorch as rt
from gpu.trainings import OPTIMIZERS, attached, batches, net, there, train
from gpus import DEVICES
from sharded_rules import CONSTRAINTS_ON, PENALTIES_ON
from way_one import apart

ON = [("cpu", torch.float32, 2e-4), ("cuda", torch.float64, 1e-10), ("cuda", torch.float32, 2e-4)]
KINDS = {
    "foreach": ("SGD", "Adam", "AdamW", "Adagrad", "RMSprop"),
    "fused": ("SGD", "Adam", "AdamW"),
    "capturable": ("Adam", "AdamW", "RMSprop"),  # on a GPU alone
}


@pytest.mark.parametrize(("device", "dtype", "within"), [case for case in ON if case[0] in DEVICES])
@pytest.mark.parametrize("name", PENALTIES_ON | CONSTRAINTS_ON)
def test_every_rule(name: str, device: str, dtype: torch.dtype, within: float):
    on = (PENALTIES_ON | CONSTRAINTS_ON)[name]
    reference, model = net(), net().to(device, dtype)
    bound = [on(reference), on(model)]
    values = [(b.violation() if name in CONSTRAINTS_ON else b()).detach().double().cpu() for b in bound]
    assert values[1] == pytest.approx(values[0].item(), rel=within, abs=within)
    for which, b in zip((reference, model), bound, strict=True):
        optimizer = torch.optim.SGD(which.parameters(), lr=0.05)
        b.attach(optimizer)
        train(which, optimizer)
    assert apart(there(model, reference), reference) < within


@pytest.mark.parametrize(
    ("device", "kind", "name"),
    [
        (device, kind, name)
        for device in DEVICES
        for kind, names in KINDS.items()
        for name in names
        if kind != "capturable" or device == "cuda"
    ],
)
def test_every_kind_of_optimizer(name: str, device: str, kind: str):
    make, settings = OPTIMIZERS[name]
    reference = net()
    train(reference, attached(reference, make, settings, foreach=False))
    model = net().to(device)
    train(model, attached(model, make, settings, **{kind: True}))
    assert apart(there(model, reference), reference) < 1e-10


@pytest.mark.parametrize("kind", ["single", "foreach", "fused"])
@pytest.mark.parametrize("device", DEVICES)
def test_a_step_that_the_scaler_skips(device: str, kind: str):
    """Infinite gradients leave weights, constraints and schedules as they were."""
    model = net().to(device, torch.float32)
    optimizer = torch.optim.Adam(model.parameters(), **{} if kind == "single" else {kind: True})
    handle = rt.L2(0.1).on(model).attach(optimizer, schedule=rt.schedules.warmup(5))
    rt.MaxNorm(0.1).on(model).attach(optimizer)
    before = copy.deepcopy(list(model.parameters()))
    scaler = torch.amp.GradScaler(device)
    for factor, moved in ((torch.inf, False), (1.0, True)):
        optimizer.zero_grad()
        x, y = batches(1)[0]
        with torch.autocast(device, torch.float16 if device == "cuda" else torch.bfloat16):
            loss = F.cross_entropy(model(x.to(device, torch.float32)), y.to(device)) * factor
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        assert handle.steps == int(moved)
        assert (apart(model, before) > 0) == moved


@pytest.mark.parametrize("device", DEVICES)
def test_the_doctor(device: str):
    model = net().to(device, torch.float32)
    data = [(x.to(device, torch.float32), y.to(device)) for x, y in batches(8)]
    report = rt.diagnose(model, F.cross_entropy, data, rules=[rt.L2(10.0)])
    assert report[0].cause in {"penalty_dominates", "collapse"}, report
