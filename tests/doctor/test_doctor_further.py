"""Further faults that another author's programs held the doctor to, each beside a twin that is healthy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import regtorch as rt
from doctor_cases import net, samples

Loss = Callable[[Tensor, Tensor], Tensor]


def pairs(x: Tensor, y: Tensor, size: int = 40) -> list[tuple[Tensor, Tensor]]:
    return list(zip(x.split(size), y.split(size), strict=True))


def told(model: nn.Module, loss: Any, batches: Any, optimizer: Any = None) -> dict[str, rt.Finding]:
    """The first finding of each cause."""
    return {f.cause: f for f in reversed(rt.diagnose(model, loss, batches, optimizer))}


# What a loss passes on


def binary() -> tuple[Tensor, Tensor]:
    x, y = samples()
    return x, (y > 0).float()[:, None]


INNER: dict[str, tuple[Loss, Loss, str]] = {
    "a sigmoid": (
        lambda o, y: F.binary_cross_entropy_with_logits(o.sigmoid(), y),
        lambda o, y: F.binary_cross_entropy(o.sigmoid(), y),
        "sigmoid_before_bce_with_logits",
    ),
    "targets of 0 and 2": (
        lambda o, y: F.binary_cross_entropy_with_logits(o[:, 0], 2 * y[:, 0]),
        lambda o, y: F.binary_cross_entropy_with_logits(o[:, 0], y[:, 0]),
        "unbounded_loss",
    ),
    "a row for each column": (
        lambda o, y: F.mse_loss(o[:, 0], y) * 2,
        lambda o, y: F.mse_loss(o[:, 0], 3 * y[:, 0]) * 2,
        "target_broadcast",
    ),
}


@pytest.mark.parametrize("case", INNER)
@pytest.mark.filterwarnings("ignore:Using a target size")
def test_what_a_loss_passes_to_one_of_torchs(case: str):
    ill, well, cause = INNER[case]
    found = told(net(out=1), ill, pairs(*binary()))
    assert found[cause].severity == "severe"
    assert " in the loss" in found[cause].where
    assert found[cause].remedy is None
    assert cause not in told(net(out=1), well, pairs(*binary()))


def test_a_loss_of_torchs_is_looked_at_once():
    x, y = samples()
    findings = rt.diagnose(net(nn.Softmax(1)), lambda o, y: F.cross_entropy(o, y), pairs(x, y))
    assert [f.where for f in findings if f.cause == "softmax_before_cross_entropy"] == ["head"]


def test_a_divergence_of_logits_and_of_log_probabilities():
    x, y = samples()
    rows = 0.9 * F.one_hot(y, 3).float() + 0.1 / 3
    loss = nn.KLDivLoss(reduction="batchmean")
    assert told(net(), loss, pairs(x, rows))["nll_without_log_softmax"].severity == "severe"
    assert "nll_without_log_softmax" not in told(net(nn.LogSoftmax(1)), loss, pairs(x, rows))
    assert "nll_without_log_softmax" not in told(net(), F.mse_loss, pairs(x, rows))


@pytest.mark.parametrize(
    ("loss", "alone"),
    [
        (lambda o, y: -F.logsigmoid(o)[range(len(y)), y].mean(), True),
        (lambda o, y: -F.log_softmax(o, 1)[range(len(y)), y].mean(), False),
        (lambda o, y: (1 - F.cosine_similarity(o, F.one_hot(y, 3).float())).mean(), False),
        (F.multi_margin_loss, False),
    ],
)
def test_a_loss_of_the_right_class_alone(loss: Loss, alone: bool):
    assert ("unnormalised_outputs" in told(net(), loss, pairs(*samples()))) is alone


def counts() -> tuple[Tensor, Tensor]:
    x, y = samples()
    return x, (1 + y).float()[:, None]


def test_a_loss_of_counts_with_its_arguments_exchanged():
    def exchanged(o: Tensor, y: Tensor) -> Tensor:
        return F.poisson_nll_loss(y, o, log_input=False)

    found = told(net(nn.Softplus(), out=1), exchanged, pairs(*counts()))
    assert "other order" in found["swapped_arguments"].change
    assert "unbounded_loss" not in found


def test_a_loss_of_counts_that_takes_a_logarithm():
    found = told(net(out=1), nn.PoissonNLLLoss(log_input=False), pairs(*counts()), None)
    assert "Sigmoid" not in found.get("diverges", rt.Finding("diverges", "", "severe", why="", change="")).change


# Weights of classes


def rare(share: int) -> tuple[Tensor, Tensor]:
    x, _ = samples()
    return x, (torch.arange(len(x)) % share == 0).long()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("column", [False, True])
def test_a_rare_class_that_the_loss_weighs(column: bool, weighted: bool):
    x, y = rare(20)
    if column:
        model, y = net(out=1), y.float()[:, None]
        loss: nn.Module = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(19.0) if weighted else None)
    else:
        model, loss = net(out=2), nn.CrossEntropyLoss(weight=torch.tensor([1.0, 19.0]) if weighted else None)
    assert told(model, loss, pairs(x, y))["imbalance"].severity == ("info" if weighted else "warning")
