"""Set-ups that learn well, and that the doctor once blamed: each is healthy, beside a twin that is not."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import regtorch as rt
from doctor_cases import causes, of, said, sequential
from doctor_patients import Batches, diagnosed, drawn, dropped, mlp, split, vectors
from regtorch.doctor.measure import dead_units, normalization


def accuracy(model: nn.Module, batches: Batches, optimizer: torch.optim.Optimizer, epochs: int) -> float:
    for _ in range(epochs):
        for x, y in batches:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    with torch.no_grad():
        right = [(model(x).argmax(1) == y).float().mean() for x, y in batches]
    return float(torch.stack(right).mean())


# A norm that hides the scale


@pytest.mark.parametrize("norm", [False, True])
def test_outputs_that_are_nearly_even_are_no_norm(norm: bool):
    layers = [nn.Linear(20, 16), *([nn.BatchNorm1d(16)] if norm else []), nn.Tanh(), nn.Linear(16, 4), nn.Softmax(1)]
    model = sequential(*layers)
    with torch.no_grad():
        model[-2].weight.mul_(1e-3)
        model[-2].bias.zero_()
    found = said(normalization.find(of(model, vectors(), rt.L2(1e-4))), "scale_hidden_by_norm")
    assert [f.where for f in found] == (["0.weight"] if norm else [])


# Units that are off


class Raw(nn.Module):
    """A ReLU behind a layer, of which some units are off for all inputs."""

    def __init__(self, off: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.hidden, self.head = nn.Linear(20, 64), nn.Linear(64, 4)
        with torch.no_grad():
            self.hidden.bias[:off] = -100

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.hidden(x).relu())


@pytest.mark.parametrize(("off", "severity"), [(36, "info"), (63, "severe")])
def test_units_that_are_off_are_blamed_where_they_stand_in_the_way(off: int, severity: str):
    model = Raw(off)
    examined = of(model, vectors(), optimizer=torch.optim.Adam(model.parameters(), lr=1e-2), steps=20)
    (found,) = said(dead_units.find(examined), "dead_relus")
    assert found.severity == severity
    assert found.numbers["dead_now"] == off / 64
    assert ("they do no harm" in found.why) == (severity == "info")


def test_inputs_that_are_all_positive_may_switch_half_of_the_units_off():
    own = drawn(0)
    x = torch.randn(512, 20, generator=own)
    batches = split((x * 0.2 + 1).relu(), (x @ torch.randn(20, 4, generator=own)).argmax(1))
    model = nn.Sequential(nn.Linear(20, 64, bias=False), nn.ReLU(), nn.Linear(64, 4))
    with torch.no_grad():
        model[0].weight[:34].abs_().neg_()
        model[0].weight[34:].abs_()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    assert causes(diagnosed(model, by=optimizer, batches=batches)).get("dead_relus", "info") == "info"


# Outputs that are the same


@pytest.mark.parametrize("off", [False, True])
def test_a_head_that_starts_small_is_not_constant(off: bool):
    torch.manual_seed(0)
    model = mlp()
    with torch.no_grad():
        model[4].weight.mul_(1e-6)
        model[4].bias.copy_(torch.tensor([0.1, 0.0, 0.0, 0.0]))
        if off:
            model[0].bias.fill_(-1e3)
    assert ("constant_predictions" in causes(diagnosed(model))) == off


# Words


@pytest.mark.parametrize(
    "rule", [rt.L2(0.3), rt.L1(0.3), rt.Orthogonal(10.0), rt.GroupLasso(1.0), rt.L2(1e30), rt.L2(1e-3, select="all")]
)
def test_no_sentence_speaks_of_numbers_that_are_none(rule: rt.Penalty):
    for model in (mlp(), dropped(nn.BatchNorm1d(64))):
        for finding in diagnosed(model, rule):
            for sentence in (finding.why, finding.change):
                assert not re.search(r"\b(inf|nan)\b", sentence), sentence


# Penalties that are meant


def test_network_slimming_is_told_once_and_as_what_it_is():
    model = dropped(nn.BatchNorm1d(64))
    found = [f for f in diagnosed(model, rt.L1(1e-4, select="norm")) if f.cause == "norm_penalised"]
    assert [f.severity for f in found] == ["info"]
    assert "network slimming" in found[0].why
    assert "-name:*bias" in found[0].change
    swept_up = [f for f in diagnosed(model, rt.L1(1e-4, select="all")) if f.cause == "norm_penalised"]
    assert [f.severity for f in swept_up] == ["warning"]


@pytest.mark.parametrize(
    ("select", "severity"), [("bias", "info"), ("kernel|bias", "info"), ("name:*.bias", "info"), ("all", "warning")]
)
def test_biases_are_penalised_on_purpose_where_they_are_named(select: str, severity: str):
    found = [f for f in diagnosed(mlp(), rt.L2(1e-4, select=select)) if f.cause == "bias_penalised"]
    assert [f.severity for f in found] == [severity]


# Embeddings


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.head = nn.Embedding(50, 16), nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.embedding(x).mean(1))


@pytest.mark.parametrize(("lam", "learns"), [(1e-3, True), (1e-2, False)])
def test_embeddings_that_start_large_bear_a_penalty_under_which_all_is_learnt(lam: float, learns: bool):
    x = torch.randint(0, 50, (512, 10), generator=drawn(2))
    batches = split(x, (x % 7 == 0).any(1).long())
    rule = rt.L2(lam, select="embedding")
    model = Words()
    found = diagnosed(model, rule, by=torch.optim.Adam(model.parameters(), lr=1e-2), batches=batches)
    assert causes(found)["penalty_dominates"] == ("info" if learns else "severe")
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    rule.on(model).attach(optimizer)
    assert (accuracy(model, batches, optimizer, 25) > 0.99) == learns
