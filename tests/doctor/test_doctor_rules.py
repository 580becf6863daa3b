"""What the doctor says of the rules themselves: too strong, on the wrong weights, or twice."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import regtorch as rt
from doctor_cases import said
from regtorch.doctor.finding import Finding
from regtorch.doctor.measure import scope, tight_constraint, too_strong
from regtorch.doctor.measure.pull import Measured, Pull, Source
from regtorch.doctor.observe.observed import Observed
from regtorch.doctor.observe.subject import Subject
from regtorch.doctor.remedy import Remedy


def net(norm: bool = False) -> nn.Sequential:
    torch.manual_seed(0)
    middle = [nn.BatchNorm1d(32)] if norm else []
    return nn.Sequential(nn.Linear(20, 32), *middle, nn.ReLU(), nn.Linear(32, 4))


def batches(count: int = 4) -> list[tuple[Tensor, Tensor]]:
    torch.manual_seed(1)
    x = torch.randn(count, 32, 20)
    return [(part, (part[:, :4] * 3).argmax(1)) for part in x]


def obs(model: nn.Module, *rules: Any, optimizer: torch.optim.Optimizer | None = None) -> Observed:
    return Observed(Subject.admit(model, F.cross_entropy, batches(), optimizer, rules))


def _value(rule: rt.Penalty, model: nn.Module) -> float:
    with torch.no_grad():
        return float(rule.on(model)())


def only(found: list[Finding]) -> Finding:
    (finding,) = found
    return finding


@pytest.mark.parametrize("make", [torch.optim.Adam, torch.optim.SGD])
@pytest.mark.parametrize("norm", [False, True])
def test_a_weak_penalty_is_no_finding(make: Any, norm: bool):
    model = net(norm)
    assert list(too_strong.find(obs(model, rt.L2(1e-5), optimizer=make(model.parameters(), lr=1e-3)))) == []


def test_a_penalty_that_outweighs_the_task():
    model = net()
    finding = only(
        list(too_strong.find(obs(model, rt.L2(0.3), optimizer=torch.optim.SGD(model.parameters(), lr=0.01))))
    )
    assert (finding.cause, finding.severity) == ("penalty_dominates", "severe")
    with torch.no_grad():
        share = rt.L2(0.3).on(model)()
        loss = F.cross_entropy(model(batches()[0][0]), batches()[0][1])
    assert finding.numbers["share_of_loss_at_start"] == pytest.approx(float(share / (share + loss)), rel=1e-4)
    # SGD takes the share 2·lr·λ of the norm in a step, so it is halved in ln ½ / ln(1 - 0.006) steps.
    assert finding.numbers["half_life_in_steps"] == pytest.approx(math.log(0.5) / math.log(1 - 0.006), rel=0.1)
    assert finding.remedy is not None
    assert (finding.remedy.what, finding.remedy.where) == ("strength", ["0.weight", "2.weight"])
    weaker = finding.remedy.value
    assert isinstance(weaker, float)
    assert 0.3 > weaker > 1e-5
    assert (
        list(too_strong.find(obs(model, rt.L2(weaker), optimizer=torch.optim.SGD(model.parameters(), lr=0.01)))) == []
    )


@pytest.mark.parametrize(
    ("start", "lam", "severity"), [(1.0, 0.1, "severe"), (20.0, 0.02, "info"), (20.0, 1.0, "severe")]
)
def test_a_penalty_that_takes_down_what_starts_too_large_does_what_the_task_wants(
    start: float, lam: float, severity: str
):
    model = net()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(start)
    finding = only(
        list(too_strong.find(obs(model, rt.L2(lam), optimizer=torch.optim.SGD(model.parameters(), lr=0.01))))
    )
    assert (finding.cause, finding.severity) == ("penalty_dominates", severity)
    assert ("start large" in finding.why) == (severity == "info") == (finding.remedy is None)


@pytest.mark.parametrize(("start", "count"), [(1.0, 1), (50.0, 0)])
def test_a_constraint_that_takes_down_what_starts_too_large_is_not_too_tight(start: float, count: int):
    model = net()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(start)
    largest = 0.02 * max(float(p.detach().norm(dim=1).max()) for p in (model[0].weight, model[2].weight))
    assert len(list(tight_constraint._cut(obs(model), rt.MaxNorm(largest).on(model)))) == count


def test_a_share_that_grows_as_the_task_is_learnt_is_no_severe_fault():
    model, half_life = net(), 100.0
    pull = Pull(0.0, 1.0, 1.0, 1.0, 1 - 0.5 ** (1 / half_life), 0.0)
    assert Measured([0.2, 1.0], 0.01, {"w": pull}, "w").severity == "warning"
    assert Measured([0.7, 0.5], 0.01, {"w": pull}, "w").severity == "severe"
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    finding = only(list(too_strong.find(obs(model, rt.GroupLasso(0.005), optimizer=optimizer))))
    assert finding.numbers["share_of_loss_at_start"] < finding.numbers["share_of_loss"]
    assert finding.severity == "warning"


def test_l1_under_adam_empties_the_weights():
    model = net()
    finding = only(
        list(too_strong.find(obs(model, rt.L1(1.0), optimizer=torch.optim.Adam(model.parameters(), lr=0.02))))
    )
    assert (finding.cause, finding.severity) == ("collapse", "severe")
    assert finding.numbers["norm_after"] < 0.5 * finding.numbers["norm_without_penalty"]


def test_weights_before_a_norm_layer_are_counted():
    model = net(norm=True)
    model[1].requires_grad_(False)
    rule = rt.L2(1.0, select="name:0.weight")
    finding = only(list(too_strong.find(obs(model, rule, optimizer=torch.optim.SGD(model.parameters(), lr=0.01)))))
    assert finding.numbers["share_hidden_by_norm"] == 1.0


def test_the_equilibrium_is_where_growth_meets_shrinking():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 4, bias=False))
    with torch.no_grad():
        model[0].weight.mul_(0.1)  # so that it grows by itself
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    examined = obs(model, rt.L2(0.2), optimizer=optimizer)
    measured = Source(examined, decay=False).measured(examined.with_rules)
    assert measured is not None
    pull = measured.pulls["0.weight"]
    assert pull.without > pull.after
    assert pull.equilibrium == pytest.approx((pull.without - pull.norm) / 20 / pull.shrink)


def test_a_net_that_diverges_at_once_has_nothing_to_say_of_the_penalty():
    model = net()
    with torch.no_grad():
        model[0].weight.fill_(math.nan)
    assert list(too_strong.find(obs(model, rt.L2(1.0)))) == []


def test_biases_and_norms_should_not_be_penalised():
    model = net(norm=True)
    found = {finding.cause: finding for finding in scope.find(obs(model, rt.L2(0.1, select="all")))}
    assert set(found) == {"bias_penalised", "norm_penalised"}
    assert found["bias_penalised"].where == "0.bias, 3.bias"
    assert found["norm_penalised"].where == "1.weight, 1.bias"
    assert found["norm_penalised"].numbers["share_of_penalty"] == pytest.approx(
        _value(rt.L2(0.1, select="norm"), model) / _value(rt.L2(0.1, select="all"), model), rel=1e-5
    )
    assert all(finding.severity == "warning" for finding in found.values())
    assert found["bias_penalised"].remedy == Remedy("select", value="kernel", rules=[rt.L2(0.1)])
    assert list(scope.find(obs(model, rt.L2(0.1)))) == []
    assert list(scope.find(obs(model, rt.L2(0.0, select="all")))) == []


def test_weight_decay_beside_l2_is_told_and_beside_l1_not():
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.02)
    finding = only(said(scope.find(obs(model, rt.L2(0.03), optimizer=optimizer)), "decay_twice"))
    assert finding.numbers == {"weight_decay": 0.02, "penalty_as_weight_decay": pytest.approx(0.06)}
    assert finding.where == "0.weight, 2.weight"
    assert said(scope.find(obs(model, rt.L1(0.03), optimizer=optimizer)), "decay_twice") == []
    assert list(scope.find(obs(model, rt.L2(0.03), optimizer=torch.optim.SGD(model.parameters(), lr=0.1)))) == []
