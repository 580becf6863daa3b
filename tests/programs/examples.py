"""An example of every cause that a net in training can have: one program of the corpus, or one made for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import LambdaLR

import regtorch as rt
from programs import faulty_data, faulty_further, faulty_nets
from programs import nets as n
from programs import program as p
from programs.data import Data, is_here
from programs.healthy import BASES, bce_of_probabilities
from programs.program import Operator, Program
from programs.spoiling import one_feature, rows, softmax

__all__ = ["Example", "examples"]

Example = tuple[str, Program, Program]
"""What is wrong, in words; the program with the fault, and the one without it."""


class Warming(SGD):
    """SGD whose rate rises over 100 steps."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, lr)
        self.schedule = LambdaLR(self, lambda step: min(1.0, step / 100))

    def step(self, closure: Any = None) -> Any:
        loss = super().step(closure)
        self.schedule.step()
        return loss


def narrow(program: Program) -> Program:
    return p.net(lambda: n.dense(64, 5, 10, norm=nn.BatchNorm1d))(program)


def struck(model: nn.Module) -> None:
    """Biases of 1 and a head of ones: a fast rate moves all units beyond 0 at once."""
    layers = [m for m in model.modules() if isinstance(m, nn.Linear)]
    nn.init.ones_(layers[0].bias)
    nn.init.ones_(layers[-1].weight)


def reshaped(output: Tensor, target: Tensor) -> Tensor:
    """A loss of another shape than the net's outputs."""
    return F.mse_loss(output.view(-1, 7), target.view(-1, 7))


def emptied(data: Data) -> Data:
    return Data(data.x[:0], data.y[:0], data.vx, data.vy)


def zeros_alone(data: Data) -> Data:
    return Data(data.x, torch.zeros_like(data.y), data.vx, data.vy)


_MORE: Mapping[str, tuple[str, str, Operator]] = {
    "weights_not_finite": (
        "one weight is NaN",
        "digits",
        p.then(lambda m: next(m.parameters())[0].fill_(torch.nan)),
    ),
    "input_scale": ("pixels that were divided by 255 twice", "digits cnn", p.inputs(lambda x: x / 255)),
    "feature_scale": ("one feature is 1,000 times as large", "wines", one_feature(1000.0)),
    "model_fails": ("the second layer expects 65 inputs", "digits", p.before(lambda: nn.Linear(8, 9))),
    "loss_fails": ("the loss reshapes 10 outputs to 7", "digits", p.loss(reshaped)),
    "optimizer_fails": (
        "Adam under an embedding of sparse gradients",
        "sentences",
        p.then(lambda m: [setattr(layer, "sparse", True) for layer in m.modules() if isinstance(layer, nn.Embedding)]),
    ),
    "unnormalised_outputs": (
        "sigmoids of ten classes under −log p",
        "digits",
        p.also(p.behind(nn.Sigmoid), rows(10), p.loss(lambda o, y: -(y * (o + 1e-7).log()).sum(1).mean())),
    ),
    "log_softmax_before_cross_entropy": ("the net ends in a log-softmax", "digits", p.behind(lambda: nn.LogSoftmax(1))),
    "constant_predictions": (
        "the first layer's biases are −1,000",
        "digits",
        p.then(lambda m: m.get_parameter("1.bias").fill_(-1e3)),
    ),
    "bounded_head": (
        "a tanh behind the last layer",
        "houses",
        p.also(p.targets(lambda y: 0.25 * y), p.behind(nn.Tanh)),
    ),
    "first_step_too_large": ("Adam at 1 after biases of 1", "houses", p.also(p.by(Adam, 1.0), p.then(struck))),
    "rate_scheduled": ("the rate rises for 100 steps", "digits", p.by(Warming, 0.1)),
    "input_offset": ("inputs of 1 ± .01", "houses", p.inputs(lambda x: 1 + 0.01 * x)),
    "collapse": ("L1 of .1", "digits", p.also(p.rules(rt.L1(0.1)), p.lr(0.01))),
    "dropout_before_batch_norm": (
        "dropout of .6 in front of a batch norm",
        "digits",
        p.net(
            lambda: nn.Sequential(
                nn.Flatten(), nn.Dropout(0.6), nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 10)
            )
        ),
    ),
    "norm_idle": ("a batch norm on five units, batches of 16", "digits", p.also(narrow, p.size(16))),
    "scale_hidden_by_norm": ("L2 of 1e-4 on weights in front of norms", "digits bn", p.rules(rt.L2(1e-4))),
    "bias_before_norm": ("convolutions with biases in front of norms", "digits bn", lambda program: program),
    "loss_at_chance": ("no fault: before training", "digits", lambda program: program),
    "no_parameters": (
        "a net of pooling alone",
        "digits",
        p.also(
            p.net(lambda: nn.Sequential(nn.Flatten(), nn.AdaptiveAvgPool1d(10))),
            p.owning(lambda m: [nn.Parameter(torch.zeros(1))]),
        ),
    ),
    "empty_batch": (
        "batches of 0 samples",
        "digits",
        p.arranged(emptied),
    ),
    "binary_loss_on_classes": (
        "binary cross entropy on a softmax",
        "digits",
        p.also(softmax, rows(10), p.loss(bce_of_probabilities)),
    ),
    "one_hot_labels": ("one-hot labels of whole numbers", "digits", p.targets(lambda y: F.one_hot(y, 10))),
    "one_class": ("all labels are 0", "digits", p.arranged(zeros_alone)),
    "frozen_weights": (
        "the first layer is frozen",
        "digits",
        p.then(lambda m: next(m.parameters()).requires_grad_(False)),
    ),
    "start_too_large": ("weights drawn from N(0, 1)", "digits cnn", p.kernels(lambda w: w.normal_())),
    "penalty_dominates": ("L2 of .03", "digits", p.rules(rt.L2(0.03))),
    "diverges": ("SGD at 30 on numbers", "houses", p.by(SGD, 30.0)),
    "target_scale": ("prices in dollars", "houses", p.targets(lambda y: 8e4 * y + 2e5)),
}


def examples() -> Mapping[str, Example]:
    """By cause: the examples made for it, then the first of the corpus whose data are there."""
    found = {cause: (text, change(BASES[of]), BASES[of]) for cause, (text, of, change) in _MORE.items()}
    for name, (of, change, causes) in {**faulty_data.TABLE, **faulty_nets.TABLE, **faulty_further.TABLE}.items():
        if is_here(BASES[of].needs):
            found.setdefault(causes[0], (name.partition(", ")[2], change(BASES[of]), BASES[of]))
    return found
