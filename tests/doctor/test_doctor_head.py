"""What the doctor says of heads: what stands before the loss, by what it does."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import regtorch as rt
from doctor_cases import CLASSES, WIDTH, grave, logits_loss, net, obs, said, samples
from doctor_patients import mlp, vectors
from regtorch.doctor.measure import head, sign
from regtorch.doctor.observe.observed import Observed
from regtorch.doctor.observe.subject import Subject
from regtorch.doctor.remedy import Remedy


@pytest.mark.parametrize(
    ("activation", "cause"),
    [
        (nn.Softmax(1), "softmax_before_cross_entropy"),
        (nn.Sigmoid(), "sigmoid_before_cross_entropy"),
        (nn.Tanh(), "tanh_before_cross_entropy"),
        (nn.LogSoftmax(1), None),
        (nn.ReLU(), "nonnegative_logits"),
        (nn.Identity(), None),
    ],
    ids=str,
)
def test_what_stands_before_cross_entropy(activation: nn.Module, cause: str | None):
    severity = "warning" if cause == "nonnegative_logits" else "severe"
    assert grave(head.find(obs(model=net(activation)))) == ({} if cause is None else {cause: severity})


@pytest.mark.parametrize("one_hot", [False, True])
def test_a_softmax_in_the_loss(one_hot: bool):
    batches = [(x, F.one_hot(y, 4).float() if one_hot else y) for x, y in vectors()]
    found = rt.diagnose(mlp(), lambda o, y: F.cross_entropy(o.softmax(1), y), batches)
    assert (found[0].cause, found[0].where, found[0].severity) == ("softmax_before_cross_entropy", "loss", "severe")
    for right in (
        F.cross_entropy,
        lambda o, y: F.cross_entropy(o.log_softmax(1), y),
        lambda o, y: F.cross_entropy(o, y, label_smoothing=0.2),
        lambda o, y: F.cross_entropy(o, y, weight=torch.tensor([1.0, 2.0, 3.0, 4.0])),
    ):
        assert "softmax_before_cross_entropy" not in [f.cause for f in rt.diagnose(mlp(), right, batches)]


def test_small_outputs_are_no_bounds():
    model = net()
    with torch.no_grad():
        model[2].weight.mul_(1e-2)
        model[2].bias.fill_(0.5)
    assert grave(head.find(obs(model=model))) == {}
    hidden = nn.Sequential(nn.Linear(WIDTH, 8), nn.Sigmoid(), nn.utils.parametrizations.weight_norm(nn.Linear(8, 3)))
    assert grave(head.find(obs(model=hidden))) == {}


def test_a_sigmoid_before_the_loss_that_takes_one():
    y = (samples()[0][:, 0] > 0).long()
    assert grave(head.find(obs(y=y, model=net(nn.Sigmoid(), out=1), loss=logits_loss))) == {
        "sigmoid_before_bce_with_logits": "severe"
    }
    proper = obs(y=y, model=net(nn.Sigmoid(), out=1), loss=lambda p, y: F.binary_cross_entropy(p[:, 0], y.float()))
    assert grave(head.find(proper)) == {}


@pytest.mark.parametrize(
    ("activation", "scale", "cause"),
    [
        (nn.Sigmoid(), 1.0, "target_outside_head"),
        (nn.Tanh(), 0.2, "bounded_head"),
        (nn.Tanh(), 2.0, "target_outside_head"),
    ],
)
def test_bounded_heads_for_numbers(activation: nn.Module, scale: float, cause: str):
    y = samples()[0][:, :1] * scale
    found = said(head.find(obs(y=y, model=net(activation, out=1), loss=F.mse_loss)), cause)
    assert [f.severity for f in found] == ["severe" if cause == "target_outside_head" else "info"]


def test_one_sample_a_step_is_enough_to_see_bounds():
    x, y = samples()[0], torch.rand(320, 1, generator=torch.Generator().manual_seed(0))
    batches = list(zip(x[:20].split(1), y[:20].split(1), strict=True))
    subject = Subject.admit(net(nn.Sigmoid(), out=1), F.mse_loss, batches, None, ())
    assert [f.severity for f in said(head.find(Observed(subject)), "bounded_head")] == ["info"]


@pytest.mark.parametrize("numbers", [True, False])
def test_the_same_output_for_all_inputs(numbers: bool):
    model = net(out=1 if numbers else CLASSES)
    with torch.no_grad():
        model[0].bias.fill_(-1e3)  # all units are off
    y = samples()[0][:, :1] if numbers else None
    found = grave(head.find(obs(y=y, model=model, loss=F.mse_loss if numbers else F.cross_entropy)))
    assert found == {"constant_predictions": "warning"}


def test_a_loss_at_chance_is_no_fault():
    model = net()
    with torch.no_grad():
        model[2].weight.mul_(1e-2)
        model[2].bias.zero_()
    found = said(head.find(obs(model=model)), "loss_at_chance")
    assert [f.severity for f in found] == ["info"]
    assert found[0].numbers["chance"] == pytest.approx(1.0986, rel=1e-4)


def test_an_optimizer_that_maximizes_is_to_minimise():
    maximizing = partial(torch.optim.SGD, lr=0.1, maximize=True)
    (found,) = (f for f in sign.find(obs(optimizer=maximizing)) if f.cause == "loss_sign")
    assert (found.where, found.remedy) == ("optimizer", Remedy("maximize", value=False))
