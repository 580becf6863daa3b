"""The optimizer's own weight decay, coupled or not, is examined as a penalty is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD, Adagrad, Adam, AdamW, NAdam, Optimizer, RMSprop

import regtorch as rt
from doctor_cases import grave, of, said
from doctor_patients import diagnosed, dropped, mlp, vectors
from regtorch.doctor.measure import normalization, scope
from regtorch.doctor.measure.pull import Source
from regtorch.doctor.observe.optimizer_copy import decays_of

Make = Callable[[Any, float], Optimizer]

OPTIMIZERS: dict[str, tuple[Make, bool]] = {
    "SGD": (lambda p, decay: SGD(p, lr=0.1, weight_decay=decay), False),
    "momentum": (lambda p, decay: SGD(p, lr=0.02, momentum=0.9, weight_decay=decay), False),
    "Adam": (lambda p, decay: Adam(p, weight_decay=decay), False),
    "RMSprop": (lambda p, decay: RMSprop(p, lr=1e-3, weight_decay=decay), False),
    "Adagrad": (lambda p, decay: Adagrad(p, lr=1e-2, weight_decay=decay), False),
    "AdamW": (lambda p, decay: AdamW(p, weight_decay=decay), True),
    "decoupled Adam": (lambda p, decay: Adam(p, weight_decay=decay, decoupled_weight_decay=True), True),
    "NAdam": (lambda p, decay: NAdam(p, weight_decay=decay, decoupled_weight_decay=True), True),
    "Adafactor": (lambda p, decay: torch.optim.Adafactor(p, lr=1e-3, weight_decay=decay), True),
    "Muon": (lambda p, decay: torch.optim.Muon([w for w in p if w.ndim == 2], lr=1e-3, weight_decay=decay), True),
}


def strong(found: list[rt.Finding]) -> list[rt.Finding]:
    return [f for f in found if f.cause in ("penalty_dominates", "collapse") and f.severity != "info"]


@pytest.mark.sampled(4)
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_a_decay_that_is_too_strong_is_severe_and_the_value_that_is_advised_is_not(kind: str):
    make, decoupled = OPTIMIZERS[kind]
    model = mlp()
    optimizer = make(list(model.parameters()), 50.0 if decoupled else 1.0)
    (found, *_) = strong(diagnosed(model, by=optimizer))
    assert found.severity == "severe"
    assert found.where.startswith("optimizer.weight_decay of ")
    assert found.where.endswith("(group 0)")
    assert found.remedy is not None
    assert found.remedy.what == "weight decay"
    value = found.remedy.value
    assert f"{value:.0e}" in found.change
    assert "tried" in found.change
    optimizer.param_groups[0]["weight_decay"] = value
    assert strong(diagnosed(model, by=optimizer)) == []


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("decay", [0.0, 1e-4])
def test_a_weak_decay_is_no_finding(kind: str, decay: float):
    model = mlp()
    make, _ = OPTIMIZERS[kind]
    assert strong(diagnosed(model, by=make(list(model.parameters()), decay))) == []


@pytest.mark.parametrize("layers", [(), (nn.BatchNorm1d(64),), (nn.LayerNorm(64),)], ids=["none", "batch", "layer"])
def test_the_default_of_adamw_is_quiet(layers: tuple[nn.Module, ...]):
    torch.manual_seed(0)
    model = dropped(*layers)
    found = diagnosed(model, by=AdamW(model.parameters()))
    assert grave(found) == {}
    assert not [f for f in found if "decay" in f.where + f.why]


def test_coupled_decay_is_measured_as_the_penalty_that_it_is():
    torch.manual_seed(0)
    model = mlp()
    decayed = of(model, vectors(), optimizer=SGD(model.parameters(), lr=0.01, weight_decay=0.6))
    ruled = of(model, vectors(), rt.L2(0.3, select="all"), optimizer=SGD(model.parameters(), lr=0.01))
    decay, rule = Source(decayed, decay=True), Source(ruled, decay=False)
    one, other = decay.measured(decayed.with_rules), rule.measured(ruled.with_rules)
    assert one is not None
    assert other is not None
    assert one.shares[0] == pytest.approx(other.shares[0], rel=1e-4)
    assert one.half_life == pytest.approx(other.half_life, rel=1e-2)
    first = decayed.with_rules.steps[0].decays["0.weight"], ruled.with_rules.steps[0].forces["0.weight"]
    assert first[0].penalty == pytest.approx(first[1].penalty, rel=1e-4)
    assert first[0].task == pytest.approx(first[1].task, rel=1e-4)


def test_what_a_decoupled_decay_takes_is_told_from_what_the_gradient_does():
    torch.manual_seed(0)
    model = mlp()
    with_decay = of(model, vectors(), optimizer=AdamW(model.parameters(), lr=1e-3, weight_decay=2.0), steps=1)
    without = of(model, vectors(), optimizer=AdamW(model.parameters(), lr=1e-3, weight_decay=0.0), steps=1)
    norm = float(model[0].weight.detach().norm())
    forces = with_decay.with_rules.steps[0].decays["0.weight"]
    assert forces.penalty == pytest.approx(1e-3 * 2.0 * norm, rel=1e-4)
    moved = without.with_rules.steps[0].updates["0.weight"] * norm
    assert forces.task == pytest.approx(moved, rel=1e-3)
    assert without.with_rules.steps[0].decays == {}


def test_each_group_has_its_own_decay():
    model = mlp()
    groups = [{"params": model[0].parameters(), "weight_decay": 0.5}, {"params": model[2].parameters()}]
    found = decays_of(AdamW(groups, weight_decay=0.0), dict(model.named_parameters()))
    assert {name: (d.group, d.value, d.decoupled) for name, d in found.items()} == {
        "0.weight": (0, 0.5, True),
        "0.bias": (0, 0.5, True),
    }


def test_decay_on_biases_and_norms_is_told_as_information():
    model = dropped(nn.BatchNorm1d(64))
    optimizer = SGD(model.parameters(), lr=0.1, weight_decay=1e-2)
    found = list(scope.find(of(model, vectors(), optimizer=optimizer)))
    assert {f.cause: f.severity for f in found} == {"bias_penalised": "info", "norm_penalised": "info"}
    assert all("weight_decay=0" in f.change and f.numbers["weight_decay"] == 1e-2 for f in found)


def test_a_norm_that_hides_what_decays_is_told_as_information():
    model = nn.Sequential(nn.Linear(20, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = SGD(model.parameters(), lr=0.1, weight_decay=1e-2)
    (found,) = said(normalization.find(of(model, vectors(), optimizer=optimizer)), "scale_hidden_by_norm")
    assert (found.severity, found.where) == ("info", "optimizer.weight_decay of 0.weight")


@pytest.mark.parametrize(("kind", "lr"), [(SGD, 1e-3), (AdamW, 1e-3)])
def test_decay_beside_a_rule_on_the_same_weights(kind: type[Optimizer], lr: float):
    model = mlp()
    optimizer = kind(model.parameters(), lr=lr, weight_decay=1e-2)
    found = grave(diagnosed(model, rt.L2(1e-5), by=optimizer))
    assert found.pop("rate_too_small", "warning") == "warning"  # of SGD at 0.001
    assert found == {"decay_twice": "warning"}


def test_a_decay_that_makes_training_diverge_is_named_and_not_the_rate():
    model = mlp()
    found = diagnosed(model, by=SGD(model.parameters(), lr=0.1, weight_decay=1e3))
    assert found[0].where.startswith("optimizer.weight_decay")
    assert not [f for f in found if f.cause.startswith("rate_") and f.severity != "info"]


def test_the_decay_is_seen_beside_the_accuracy_that_it_costs():
    def accuracy(decay: float) -> float:
        torch.manual_seed(0)
        model = mlp()
        optimizer = Adam(model.parameters(), weight_decay=decay)
        for _ in range(10):
            for x, y in vectors():
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
        return float(torch.cat([model(x).argmax(1) == y for x, y in vectors()]).float().mean())

    assert accuracy(0.0) > 0.9
    assert accuracy(1.0) < 0.6
