"""Faults of losses that pass something else on, of nets that mix samples, of norms and of recurrent weights."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from programs import nets as n
from programs import program as p
from programs.healthy import bce, ce
from programs.program import Operator
from programs.spoiling import FAST, START, floats, one_output, rows

__all__ = ["TABLE"]


class StepsFirst(nn.Module):
    """A recurrent net that takes the samples of (samples, steps, features) for steps."""

    def __init__(self, features: int, units: int, outputs: int) -> None:
        super().__init__()
        self.inner, self.head = nn.GRU(features, units), nn.Linear(units, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.inner(x)[0][:, -1])


class OfBatch(nn.Module):
    """The mean over the batch, for every sample."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(0, keepdim=True).expand_as(x)


def slow_norms(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1e-4


def strong_recurrence(model: nn.Module) -> None:
    for name, weight in model.named_parameters():
        if "weight_hh" in name:
            nn.init.orthogonal_(weight, 6.0)


TABLE: Mapping[str, tuple[str, Operator, tuple[str, ...]]] = {
    "tags, a sigmoid in the loss": (
        "tags",
        p.loss(lambda o, y: bce(o.sigmoid(), y)),
        ("sigmoid_before_bce_with_logits",),
    ),
    "wines, BCE of a column of three classes": (
        "wines",
        p.also(floats, one_output(), p.loss(lambda o, y: bce(o[:, 0], y.reshape(-1)))),
        ("unbounded_loss",),
    ),
    "regions, a softmax over the width": (
        "regions",
        p.loss(lambda o, y: F.nll_loss(o.softmax(-1).clamp_min(1e-7).log(), y)),
        ("softmax_over_wrong_dim",),
    ),
    "digits, MSE of a column of class numbers": (
        "digits",
        p.also(one_output(), p.loss(lambda o, y: F.mse_loss(o[:, 0], y.float()))),
        ("regression_on_classes",),
    ),
    "digits, -log of a sigmoid in the loss": (
        "digits",
        p.loss(lambda o, y: -o.sigmoid().clamp_min(1e-7).log()[range(len(y)), y].mean()),
        ("unnormalised_outputs",),
    ),
    "digits, a divergence of logits": (
        "digits",
        p.also(rows(10), p.loss(lambda o, y: F.kl_div(o, 0.9 * y + 0.01, reduction="batchmean"))),
        ("nll_without_log_softmax",),
    ),
    "signals, samples for steps": ("signals", p.net(lambda: StepsFirst(4, 24, 3)), ("samples_mixed",)),
    "digits, a mean over the batch": (
        "digits",
        p.net(lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 32), OfBatch(), nn.ReLU(), nn.Linear(32, 10))),
        ("samples_mixed", "constant_predictions"),
    ),
    "digits bn, a momentum of 1e-4": ("digits bn", p.then(slow_norms), ("batch_norm_lag",)),
    "waves, strong recurrence": (
        "waves",
        p.also(p.net(lambda: n.Last(nn.RNN, 1, 24, 1)), p.then(strong_recurrence)),
        START,
    ),
    "topics, Adam at .1": ("topics", p.also(p.lr(0.1), p.loss(ce)), FAST),
}
"""By name: the healthy program, the operator that spoils it, and the causes that name the fault."""
