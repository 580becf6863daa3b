"""What the doctor says of activations: dead ReLUs and saturated sigmoids, in every form."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from doctor_cases import (
    drawn,
    logits_loss,
    of,
    said,
    sequential,
    severities,
)
from regtorch.app.nets import TwoClassMLP
from regtorch.doctor.finding import Finding
from regtorch.doctor.measure import dead_units


class Functional(nn.Module):
    """Two layers around a function."""

    def __init__(self, function: Callable[[Tensor], Tensor], units: int = 10) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.hidden = nn.Linear(6, units)
        self.function = function
        self.head = nn.Linear(units, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.function(self.hidden(x)))


RELUS: dict[str, Callable[[Tensor], Tensor]] = {
    "module": nn.ReLU(),
    "in place": nn.ReLU(inplace=True),
    "relu6": nn.ReLU6(),
    "leaky of slope 0": nn.LeakyReLU(0.0),
    "F.relu": F.relu,
    "F.relu in place": lambda x: F.relu(input=x, inplace=True),
    "F.relu6": F.relu6,
    "torch.relu": torch.relu,
    "method": lambda x: x.relu(),
    "method in place": lambda x: x.relu_(),
}


@pytest.mark.parametrize("form", RELUS)
@pytest.mark.parametrize(("dead", "severity"), [(3, None), (6, "warning"), (9, "severe")])
def test_dead_relus_are_seen_in_every_form(form: str, dead: int, severity: str | None):
    model = Functional(RELUS[form])
    with torch.no_grad():
        model.hidden.bias[:dead] = -1000.0
    found = said(dead_units.find(of(model, drawn(32, 6))), "dead_relus")
    assert [finding.severity for finding in found] == ([severity] if severity else [])
    for finding in found:
        assert finding.where == "hidden"
        assert finding.numbers["dead_now"] == finding.numbers["dead_after"] == pytest.approx(dead / 10)
        assert finding.remedy is None or severity != "info"


def test_a_leaky_relu_does_not_die():
    model = Functional(F.leaky_relu)
    nn.init.constant_(model.hidden.bias, -1000.0)
    assert not list(dead_units.find(of(model, drawn(32, 6))))


def test_a_channel_is_dead_only_where_it_is_zero_everywhere():
    model = sequential(nn.Conv2d(1, 4, 1), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))
    with torch.no_grad():
        model[0].weight.fill_(1.0)
        model[0].bias.copy_(torch.tensor([-1000.0, -1000.0, 0.0, 0.0]))
    (found,) = said(dead_units.find(of(model, drawn(8, 1, 2, 2))), "dead_relus")
    assert found.numbers["dead_now"] == 0.5


def test_the_units_of_a_linear_layer_lie_last():
    model = sequential(nn.Linear(2, 4), nn.ReLU(), nn.Flatten(), nn.Linear(20, 3))
    nn.init.constant_(model[0].bias[:3], -1000.0)
    (found,) = said(dead_units.find(of(model, drawn(8, 5, 2))), "dead_relus")
    assert found.numbers["dead_now"] == 0.75


def test_a_unit_that_only_some_samples_use_is_not_dead():
    model = Functional(F.relu)
    batches = [(torch.eye(6)[[number % 6]] * 20, torch.tensor([0])) for number in range(64)]
    with torch.no_grad():
        model.hidden.weight.copy_(torch.eye(10, 6).add(torch.eye(4, 6).flip(0).repeat(3, 1)[:10]))
        model.hidden.bias.fill_(-0.5)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
    assert not said(dead_units.find(of(model, batches, optimizer=optimizer, steps=40)), "dead_relus")


def test_relus_that_die_in_training_and_the_rate_at_which_they_live():
    torch.manual_seed(0)
    batches = [(torch.rand(16, 3, 32, 32), torch.randint(0, 2, (16,))) for _ in range(4)]

    def dead(lr: float) -> list[Finding]:
        torch.manual_seed(0)
        model = TwoClassMLP(input_shape=(3, 32, 32), dropout=0.0)
        adam = torch.optim.Adam(model.parameters(), lr=lr)
        return said(dead_units.find(of(model, batches, loss=logits_loss, optimizer=adam)), "dead_relus")

    worst = dead(3e-2)[0]
    assert (worst.where, worst.severity) == ("hidden1", "severe")
    assert worst.numbers["dead_now"] < 0.5 < worst.numbers["dead_after"]
    assert worst.numbers["moved"] > 1
    assert worst.remedy is not None
    assert [part.what for part in worst.remedy.parts()] == ["rate"]
    lower = worst.remedy.value
    assert isinstance(lower, float)
    assert lower < 3e-2
    assert not dead(lower)


SIGMOIDS: dict[str, Callable[[Tensor], Tensor]] = {
    "nn.Sigmoid": nn.Sigmoid(),
    "torch.sigmoid": torch.sigmoid,
    "F.sigmoid": F.sigmoid,
    "method": lambda x: x.sigmoid(),
    "in place": lambda x: x.sigmoid_(),
    "nn.Tanh": nn.Tanh(),
    "torch.tanh": torch.tanh,
    "F.tanh": F.tanh,
}


@pytest.mark.parametrize("form", SIGMOIDS)
@pytest.mark.parametrize(("saturated", "severity"), [(3, None), (6, "warning"), (10, "severe")])
def test_saturated_sigmoids_are_seen_in_every_form(form: str, saturated: int, severity: str | None):
    model = Functional(SIGMOIDS[form])
    with torch.no_grad():
        model.hidden.bias[:saturated] = torch.tensor([-30.0, 30.0] * 5)[:saturated]
    found = said(dead_units.find(of(model, drawn(32, 6))), "saturated_sigmoids")
    assert [finding.severity for finding in found] == ([severity] if severity else [])
    for finding in found:
        assert finding.numbers["saturated_now"] == pytest.approx(saturated / 10, abs=0.05)


@pytest.mark.parametrize(("sign", "count"), [(1.0, 0), (-1.0, 1)], ids=["right", "wrong"])
def test_a_net_that_is_sure_and_right_is_not_saturated(sign: float, count: int):
    model = sequential(nn.Linear(1, 1), nn.Sigmoid())
    with torch.no_grad():
        model[0].weight.fill_(sign * 1000.0)
        model[0].bias.zero_()
    batches = [(x[:, :1], (x[:, :1] > 0).float()) for x, _ in drawn(64, 1)]
    found = dead_units.find(of(model, batches, loss=F.mse_loss))
    assert severities(found, "saturated_sigmoids") == ["severe"] * count
