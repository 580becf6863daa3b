"""What the doctor says of learning rates: too small, too large, and who is to blame for divergence."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import regtorch as rt
from doctor_cases import (
    WIDTH,
    adam,
    causes,
    net,
    obs,
    samples,
    sgd,
)
from regtorch.doctor.diagnose import findings_of
from regtorch.doctor.finding import Finding
from regtorch.doctor.measure import rate
from regtorch.doctor.observe import lower_rate as lower
from regtorch.doctor.observe.observed import Observed
from regtorch.doctor.remedy import NoNumber, Remedy


def of_cause(examined: Observed) -> list[Finding]:
    return [finding for finding in rate.find(examined) if finding.cause == "rate_too_small"]


@pytest.mark.parametrize(("lr", "severity"), [(1e-8, "severe"), (0.1, None), (0.0, "severe")])
def test_a_rate_that_moves_nothing(lr: float, severity: str | None):
    found = of_cause(obs(optimizer=sgd(lr)))
    assert [f.severity for f in found] == ([] if severity is None else [severity])
    assert bool(found and found[0].remedy) == (lr == 1e-8)


def test_the_rate_that_is_proposed_suits():
    (found,) = of_cause(obs(optimizer=sgd(1e-8)))
    assert found.remedy is not None
    proposed = found.remedy.value
    assert isinstance(proposed, float)
    assert 1e-4 < max(lower.medians_of(obs(optimizer=sgd(proposed)).with_rules).values()) < 1e-2
    assert of_cause(obs(optimizer=sgd(proposed))) == []


def test_no_gradient_is_no_matter_of_the_rate():
    model = net()
    examined = obs(model=model, loss=lambda o, y: 0 * F.cross_entropy(o, y), optimizer=sgd(0.1))
    assert list(rate.find(examined)) == []


def test_a_rate_that_moves_everything():
    for lr, severity in ((0.1, "warning"), (1.0, "severe")):
        found = causes(rate.find(obs(optimizer=partial(torch.optim.Adam, lr=lr), steps=20)))
        assert found["rate_too_large"] == severity


def test_without_an_optimizer_there_is_no_rate():
    examined = obs(samples()[0] * 1e20)
    assert list(rate.find(examined)) == []


@pytest.mark.parametrize(
    ("inputs", "first"),
    [(lambda x: 0.01 * x + 1, "rate_too_small"), (lambda x: 1e-6 * x, "input_scale")],
    ids=["far from 0", "next to 0"],
)
def test_a_rate_that_moves_nothing_is_worse_than_an_offset_and_may_be_due_to_the_scale(
    inputs: Callable[[Tensor], Tensor], first: str
):
    found = findings_of(obs(inputs(samples()[0]), optimizer=sgd(1e-8)))
    assert (found[0].cause, found[0].severity) == (first, "severe")
    assert {"rate_too_small"} < {f.cause for f in found if f.severity == "severe"}


@pytest.mark.parametrize("by", ["rate", "penalty", "inputs"])
def test_who_is_to_blame_for_divergence(by: str):
    examined = {
        "rate": lambda: obs(y=samples()[0][:, :1], model=net(out=1), loss=F.mse_loss, optimizer=sgd(1e8), steps=20),
        "penalty": lambda: obs(optimizer=sgd(0.1), rules=(rt.L2(1e6),), steps=20),
        "inputs": lambda: obs(samples()[0] * torch.nan, optimizer=adam),
    }[by]()
    (found,) = rate.find(examined)
    assert (found.cause, found.severity) == ("diverges", "severe")
    assert found.where == {"rate": "optimizer.lr", "penalty": "0.weight, 2.weight", "inputs": "loss"}[by]
    assert (found.numbers["steps"] == 0) == (by == "inputs")
    why = "none down to 1,000,000 times smaller lets the loss fall as it does without it"
    none = Remedy("strength", ["0.weight", "2.weight"], NoNumber(why))
    assert found.remedy == {"rate": Remedy("rate", value=0.1), "penalty": none, "inputs": None}[by]


@pytest.mark.parametrize("module", [True, False])
def test_a_first_step_that_turns_the_units_off(module: bool):
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(1)
            self.hidden, self.head = nn.Linear(WIDTH, 16), nn.Linear(16, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(F.relu(self.hidden(x)))

    model = net(out=1) if module else Functional()
    hidden, last = (model[0], model[2]) if module else (model.hidden, model.head)
    with torch.no_grad():
        hidden.bias.fill_(1.0)
        last.weight.fill_(1.0)
    # The outputs are too large, so all biases and weights fall, under inputs that are above 0.
    examined = obs(samples()[0].abs(), -torch.ones(320, 1), model, F.mse_loss, lambda p: torch.optim.Adam(p, lr=1.0))
    found = {f.cause: f for f in rate.find(examined)}["first_step_too_large"]
    assert (found.severity, found.where) == ("severe", "0" if module else "hidden")
    assert found.numbers["units_struck"] == 1.0
    assert found.remedy == Remedy("rate", value=0.1)
