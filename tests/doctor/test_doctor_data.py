"""What the doctor says of inputs and labels, and that every measurement leaves the healthy alone."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import regtorch as rt
from doctor_cases import CLASSES, WIDTH, adam, causes, grave, logits_loss, net, obs, said, samples, sgd
from regtorch.doctor.diagnose import _FINDS as FINDS
from regtorch.doctor.diagnose import findings_of
from regtorch.doctor.measure import head, input_scale, labels
from regtorch.doctor.observe.observed import Observed


def image_net() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))


HEALTHY: dict[str, Callable[[], Observed]] = {
    "classes": lambda: obs(optimizer=adam),
    "classes by SGD, with L2": lambda: obs(optimizer=sgd(0.1, 0.9), rules=(rt.L2(1e-4),)),
    "binary": lambda: obs(y=(samples()[0][:, 0] > 0).long(), model=net(out=1), loss=logits_loss, optimizer=adam),
    "numbers": lambda: obs(y=samples()[0][:, :1] * 300, model=net(out=1), loss=F.mse_loss, optimizer=adam),
    "images": lambda: obs(torch.rand(320, 1, 4, 4), model=image_net(), optimizer=adam),
    "tokens": lambda: obs(
        torch.randint(0, 50, (320, 6)),
        model=nn.Sequential(nn.Embedding(50, 4), nn.Flatten(), nn.Linear(24, 3)),
        optimizer=adam,
    ),
}


@pytest.mark.parametrize("case", HEALTHY)
def test_healthy_set_ups_get_no_finding(case: str):
    torch.manual_seed(0)
    assert grave(findings_of(HEALTHY[case]())) == {}


@pytest.mark.parametrize("part", FINDS)
def test_nothing_is_changed(part: str):
    model = net(nn.BatchNorm1d(CLASSES))
    examined = obs(samples()[0] * 100, model=model, optimizer=sgd(1e-8), rules=(rt.L2(0.1),), steps=3)
    before, random, settings = copy.deepcopy(model.state_dict()), torch.get_rng_state(), examined.subject.optimizer
    assert settings is not None
    kept = copy.deepcopy(settings.state_dict())
    list(FINDS[part](examined))
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), random)
    assert settings.state_dict() == kept
    assert model.training
    assert all(p.grad is None for p in model.parameters())


# Inputs

SCALES = [(100.0, "severe"), (8.0, "warning"), (3.0, None), (0.3, None), (0.05, "warning"), (0.005, "severe")]


@pytest.mark.parametrize(("scale", "severity"), SCALES)
def test_the_inputs_scale_by_severity(scale: float, severity: str | None):
    found = causes(input_scale.find(obs(samples()[0] * scale)))
    assert found == ({} if severity is None else {"input_scale": severity})


@pytest.mark.parametrize("norm", [nn.BatchNorm1d(WIDTH), nn.LayerNorm(WIDTH)], ids=lambda norm: type(norm).__name__)
def test_a_norm_layer_in_front_undoes_the_scale(norm: nn.Module):
    front = nn.Sequential(nn.Flatten(), nn.Dropout(0.1), norm)
    assert causes(input_scale.find(obs(samples()[0] * 100, model=net(first=front)))) == {}


def test_zeros_of_sparse_inputs_do_not_count():
    bags = torch.zeros(320, 400)
    bags[torch.arange(320)[:, None], torch.randint(0, 400, (320, 3), generator=torch.Generator().manual_seed(0))] = 1.0
    assert grave(input_scale.find(obs(bags, model=nn.Linear(400, 3)))) == {}
    assert grave(input_scale.find(obs(bags / 100, model=nn.Linear(400, 3)))) == {"input_scale": "severe"}


def test_coordinates_far_from_0_hide_what_differs():
    spread = torch.rand(320, WIDTH, generator=torch.Generator().manual_seed(0)) * 0.003
    (found,) = said(input_scale.find(obs(0.5 + spread)), "input_offset")
    assert (found.cause, found.severity, found.numbers["share_of_features"]) == ("input_offset", "severe", 1.0)
    assert "Standardise" in found.change
    mixed = torch.cat([0.5 + spread[:, :4], samples()[0][:, 4:]], 1)
    assert causes(input_scale.find(obs(mixed)))["input_offset"] == "info"


def test_numbers_that_are_not_finite_are_counted():
    x = samples()[0].clone()
    x[0, 0], x[5, 3] = torch.nan, torch.inf
    (found,) = input_scale.find(obs(x))
    assert (found.cause, found.severity, found.numbers["not_finite"]) == ("input_not_finite", "severe", 2)


def test_features_that_never_change():
    x = samples()[0].clone()
    x[:, :3] = 0.7
    (found,) = input_scale.find(obs(x))
    assert (found.cause, found.severity, found.numbers["share_of_features"]) == ("constant_features", "info", 0.25)
    assert causes(input_scale.find(obs(x[:20], samples()[1][:20]))) == {}  # of 20 samples that says nothing
    assert causes(input_scale.find(obs(torch.ones(320, WIDTH)))) == {"constant_features": "severe"}


# Labels


def test_one_class_and_most_of_one():
    one, most = torch.ones(320, dtype=torch.long), torch.ones(320, dtype=torch.long)
    most[:20] = samples()[1][:20]
    assert causes(labels.find(obs(y=one))) == {"one_class": "severe"}
    assert causes(labels.find(obs(y=most)))["imbalance"] == "warning"
    assert causes(labels.find(obs(samples()[0][:30], one[:30]))) == {}


@pytest.mark.parametrize("shift", [-1, 1])
def test_labels_without_an_output(shift: int):
    (found,) = labels.find(obs(y=samples()[1] + shift))
    assert (found.cause, found.severity, found.numbers["outputs"]) == ("label_range", "severe", 3)
    assert (found.numbers["smallest"], found.numbers["largest"]) == (shift, 2 + shift)


def test_labels_that_the_loss_ignores_are_in_order():
    y = samples()[1].clone()
    y[::7] = -100
    assert causes(labels.find(obs(y=y))) == {}
    y[::7] = -1
    assert causes(labels.find(obs(y=y, loss=nn.CrossEntropyLoss(ignore_index=-1)))) == {}


def test_one_hot_labels_are_grave_where_the_loss_refuses_them():
    rows = F.one_hot(samples()[1])
    assert causes(labels.find(obs(y=rows))) == {"one_hot_labels": "severe"}
    assert causes(labels.find(obs(y=rows.float()))) == {"one_hot_labels": "info"}


def test_shuffled_labels_are_unrelated():
    order = torch.randperm(320, generator=torch.Generator().manual_seed(5))
    (found,) = labels.find(obs(y=samples()[1][order]))
    assert (found.cause, found.severity) == ("labels_unrelated", "severe")
    assert found.numbers["correlation"] <= found.numbers["correlation_of_shuffled"]
    assert "small probe" in found.why
    wide = torch.randn(320, 1001, generator=torch.Generator().manual_seed(0))
    assert causes(labels.find(obs(wide, model=nn.Linear(1001, 3)))).get("labels_unrelated", "info") == "info"
    assert causes(labels.find(obs(samples()[0][:90], samples()[1][order][:90]))) == {}  # too few to say


def test_the_probe_sees_more_than_lines():
    x = torch.randn(1000, 2, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] * x[:, 1] > 0).long()
    model = nn.Linear(2, 2)
    assert causes(labels.find(obs(x, y, model))) == {}


def test_the_probe_is_no_accuracy():
    x = samples()[0]
    rare = (x[:, 0] > x[:, 0].quantile(0.85)).long()  # always saying 0 is right as often as a linear guess
    assert causes(labels.find(obs(y=rare))) == {"imbalance": "info"}


# Labels that only a later batch has wrong


def test_a_wrong_label_behind_the_first_batch():
    y = samples()[1].clone()
    y[-1] = 7
    assert causes(labels.find(obs(y=y))) == {"label_range": "severe"}
    assert grave(head.find(obs(y=y))) == {}
