"""`rt.diagnose` on many small set-ups with one planted fault each, and on healthy ones: what is named first."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import regtorch as rt
from doctor_patients import (
    Batches,
    Former,
    Recurrent,
    Residual,
    Then,
    bottleneck,
    changed,
    conv,
    dropped,
    filled,
    inputs,
    mlp,
    numbers,
    per_pixel,
    pictures,
    pixels,
    series,
    several,
    shuffled,
    targets,
    themselves,
    tokens,
    vectors,
)

SetUp = tuple[nn.Module, Callable[..., Tensor], Batches, torch.optim.Optimizer | None, list[Any]]
Make = Callable[[nn.Module], torch.optim.Optimizer]


def adam(lr: float = 1e-3, **settings: Any) -> Make:
    return lambda model: torch.optim.Adam(model.parameters(), lr=lr, **settings)


def sgd(lr: float = 0.1, **settings: Any) -> Make:
    return lambda model: torch.optim.SGD(model.parameters(), lr=lr, **settings)


def set_up(
    model: nn.Module,
    batches: Batches,
    *rules: Any,
    loss: Callable[..., Tensor] = F.cross_entropy,
    by: Make | None = adam(),  # noqa: B008
) -> SetUp:
    return model, loss, batches, None if by is None else by(model), list(rules)


bce, mse, huber = F.binary_cross_entropy_with_logits, F.mse_loss, F.huber_loss
BEFORE_NORMS = "name:0.weight|name:3.weight"
TOO_FAST = "rate_too_large", "first_step_too_large", "diverges"
STRONG = "penalty_dominates", "collapse"

ILL: dict[str, tuple[Callable[[], SetUp], str | tuple[str, ...]]] = {
    # Rules
    "L2": (lambda: set_up(mlp(), vectors(), rt.L2(0.1)), STRONG),
    "L2 on a recurrent net": (lambda: set_up(Recurrent(), series(), rt.L2(0.05, select="all")), STRONG),
    "L2 on a bottleneck": (lambda: set_up(bottleneck(), themselves(), rt.L2(0.01), loss=mse), STRONG),
    "L2 and Huber": (lambda: set_up(mlp(out=1), numbers(), rt.L2(0.1), loss=huber), STRONG),
    "L2 on yes or no": (lambda: set_up(mlp(out=5), several(), rt.L2(0.1), loss=bce), STRONG),
    "L1": (lambda: set_up(conv(), pictures(), rt.L1(0.01)), STRONG),
    "L1 for each pixel": (lambda: set_up(per_pixel(), pixels(), rt.L1(0.05)), STRONG),
    "L1L2": (lambda: set_up(Residual(), pictures(), rt.L1L2(0.01, 0.01), by=sgd()), STRONG),
    "group lasso": (lambda: set_up(Former(), tokens(), rt.GroupLasso(0.1)), STRONG),
    "orthogonal": (lambda: set_up(mlp(), vectors(), rt.Orthogonal(10.0)), STRONG),
    "max-norm": (lambda: set_up(mlp(), vectors(), rt.MaxNorm(0.01)), "constraint_too_tight"),
    "unit norm on a head": (
        lambda: set_up(
            mlp(out=1), targets(lambda y: y * 30, numbers), rt.UnitNorm(select="name:4.weight"), loss=mse, by=adam(0.01)
        ),
        "constraint_too_tight",
    ),
    "L2 before batch norm": (
        lambda: set_up(conv(nn.BatchNorm2d), pictures(), rt.L2(1e-3, select=BEFORE_NORMS), by=sgd()),
        "scale_hidden_by_norm",
    ),
    "L2 before group norm": (
        lambda: set_up(conv(lambda c: nn.GroupNorm(4, c)), pictures(), rt.L2(1e-3, select=BEFORE_NORMS), by=sgd()),
        "scale_hidden_by_norm",
    ),
    "L2 on norms": (
        lambda: set_up(conv(nn.BatchNorm2d), pictures(), rt.L2(1e-4, select="all -bias")),
        "norm_penalised",
    ),
    "L2 on biases": (lambda: set_up(mlp(), vectors(), rt.L2(1e-4, select="all")), "bias_penalised"),
    "decay twice": (lambda: set_up(mlp(), vectors(), rt.L2(1e-5), by=adam(weight_decay=1e-4)), "decay_twice"),
    # Head and loss
    "softmax": (lambda: set_up(mlp(nn.Softmax(1)), vectors()), "softmax_before_cross_entropy"),
    "softmax for each pixel": (lambda: set_up(per_pixel(nn.Softmax(1)), pixels()), "softmax_before_cross_entropy"),
    "softmax, weighted classes": (
        lambda: set_up(mlp(nn.Softmax(1)), vectors(), loss=nn.CrossEntropyLoss(torch.tensor([1.0, 2.0, 3.0, 4.0]))),
        "softmax_before_cross_entropy",
    ),
    "log-softmax": (lambda: set_up(mlp(nn.LogSoftmax(1)), vectors()), "log_softmax_before_cross_entropy"),
    "sigmoid": (lambda: set_up(mlp(nn.Sigmoid()), vectors()), "sigmoid_before_cross_entropy"),
    "sigmoid twice": (
        lambda: set_up(mlp(nn.Sigmoid(), out=5), several(), loss=bce),
        "sigmoid_before_bce_with_logits",
    ),
    "ReLU for logits": (lambda: set_up(mlp(nn.ReLU()), vectors()), "nonnegative_logits"),
    "ReLU for numbers": (lambda: set_up(mlp(nn.ReLU(), out=1), numbers(), loss=mse), "target_outside_head"),
    "sigmoid for numbers": (lambda: set_up(mlp(nn.Sigmoid(), out=1), numbers(), loss=mse), "target_outside_head"),
    "targets of another shape": (
        lambda: set_up(mlp(out=1), targets(lambda y: y[:, 0], numbers), loss=mse),
        "target_broadcast",
    ),
    "outputs of another shape": (
        lambda: set_up(Then(mlp(out=1), lambda o: o[:, 0]), numbers(), loss=lambda o, y: (o - y).square().mean()),
        "target_broadcast",
    ),
    # Labels and targets
    "shuffled": (lambda: set_up(mlp(), shuffled(vectors())), "labels_unrelated"),
    "shuffled numbers": (lambda: set_up(mlp(out=1), shuffled(numbers()), loss=mse), "labels_unrelated"),
    "one class": (lambda: set_up(mlp(), targets(lambda y: y * 0 + 2)), "one_class"),
    "from 1": (lambda: set_up(mlp(), targets(lambda y: y + 1)), "label_range"),
    "one-hot": (lambda: set_up(mlp(), targets(lambda y: F.one_hot(y, 4))), "one_hot_labels"),
    "floats": (lambda: set_up(mlp(), targets(lambda y: y.float())), "label_form"),
    "a column": (lambda: set_up(mlp(), targets(lambda y: y[:, None])), "label_form"),
    "targets that are not finite": (
        lambda: set_up(mlp(out=1), targets(lambda y: y.where(y < 2, math.nan), numbers), loss=mse),
        "target_not_finite",
    ),
    "huge targets": (lambda: set_up(mlp(out=1), targets(lambda y: y * 1e4, numbers), loss=mse), "target_scale"),
    # Inputs
    "times 1000": (lambda: set_up(mlp(), inputs(lambda x: x * 1000)), "input_scale"),
    "divided twice": (lambda: set_up(conv(), inputs(lambda x: x / 65025, pictures), by=sgd(0.01)), "input_scale"),
    "far from 0": (lambda: set_up(mlp(), inputs(lambda x: x * 0.01 + 1)), "input_offset"),
    "constant": (lambda: set_up(mlp(), inputs(torch.ones_like)), "constant_features"),
    "NaN": (lambda: set_up(mlp(), inputs(lambda x: x.where(x < 2, math.nan))), "input_not_finite"),
    # Steps
    "a tiny rate": (lambda: set_up(conv(), pictures(), by=adam(1e-9)), "rate_too_small"),
    "a tiny rate, recurrent": (lambda: set_up(Recurrent(), series(), by=sgd(1e-9)), "rate_too_small"),
    "a huge rate": (lambda: set_up(mlp(), vectors(), by=sgd(10.0)), TOO_FAST),
    "a huge rate, attention": (lambda: set_up(Former(), tokens(), by=adam(10.0)), TOO_FAST),
    "a huge rate, recurrent": (lambda: set_up(Recurrent(nn.GRU), series(), by=adam(10.0)), TOO_FAST),
    # Initial weights and activations
    "dead ReLUs": (
        lambda: set_up(changed(mlp(), lambda m: [m[i].bias.fill_(-10) for i in (0, 2)]), vectors()),
        "dead_relus",
    ),
    "all 0": (lambda: set_up(changed(mlp(), filled(0)), vectors()), "symmetric_units"),
    "all the same": (lambda: set_up(changed(mlp(act=nn.Tanh), filled(0.1)), vectors()), "symmetric_units"),
    "at the bounds": (
        lambda: set_up(changed(mlp(act=nn.Sigmoid), lambda m: [p.mul_(100) for p in m.parameters()]), vectors()),
        ("start_too_large", "saturated_sigmoids"),
    ),
    "not finite": (
        lambda: set_up(changed(mlp(), lambda m: m[2].weight[0].fill_(math.nan)), vectors()),
        "weights_not_finite",
    ),
    # Dropout and norms
    "dropout on 4": (lambda: set_up(dropped(nn.Dropout(0.9), units=4), vectors()), "dropout_leaves_few_units"),
    "dropout of all": (lambda: set_up(dropped(nn.Dropout(1.0)), vectors()), "dropout_too_strong"),
    "dropout before a norm": (
        lambda: set_up(dropped(nn.Dropout(0.6), nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU()), vectors()),
        "dropout_before_batch_norm",
    ),
    "dropout for ever": (
        lambda: set_up(Then(mlp(), before=lambda x: F.dropout(x, 0.3)), vectors()),
        "random_in_evaluation",
    ),
    "one sample": (lambda: set_up(dropped(nn.BatchNorm1d(64)), vectors(1)[:40]), "batch_of_one"),
    # What is trained
    "frozen": (lambda: set_up(mlp().requires_grad_(False), vectors(), by=None), "nothing_trainable"),
    "frozen in part": (
        lambda: set_up(changed(mlp(), lambda m: m[0].requires_grad_(False)), vectors()),
        "frozen_weights",
    ),
    "half of it": (lambda: set_up(mlp(), vectors(), by=lambda m: adam()(m[4])), "weights_not_owned"),
    "nothing": (lambda: set_up(nn.Flatten(), vectors(), by=None), "no_parameters"),
    # What fails
    "the net": (lambda: set_up(Then(mlp(), lambda o: o @ o), vectors()), "model_fails"),
    "a later batch": (
        lambda: set_up(mlp(), [*vectors(), (torch.randn(32, 7), torch.zeros(32).long())]),
        "model_fails",
    ),
    "tokens that are unknown": (lambda: set_up(Former(), inputs(lambda x: x + 5, tokens)), "model_fails"),
    "tokens as floats": (lambda: set_up(Former(), inputs(torch.Tensor.float, tokens)), "model_fails"),
    "doubles": (lambda: set_up(mlp(), inputs(torch.Tensor.double)), "model_fails"),
    "the loss": (lambda: set_up(mlp(), vectors(), loss=lambda o, y: o @ y.double()), "loss_fails"),
    "no way back": (lambda: set_up(Then(mlp(), Tensor.detach), vectors()), "no_gradient"),
    "no samples": (lambda: set_up(mlp(), [(torch.zeros(0, 20), torch.zeros(0).long())]), "empty_batch"),
}  # fmt: skip

HEALTHY: dict[str, Callable[[], SetUp]] = {
    "classes": lambda: set_up(mlp(), vectors(), rt.L2(1e-4)),
    "SGD": lambda: set_up(mlp(), vectors(), rt.L1(1e-5), by=sgd(0.05, momentum=0.9)),
    "no optimizer": lambda: set_up(mlp(act=nn.Tanh), vectors(), by=None),
    "pictures": lambda: set_up(conv(), inputs(torch.sigmoid, pictures), rt.L1(1e-6)),
    "batch norm": lambda: set_up(conv(nn.BatchNorm2d), pictures(), rt.L2(1e-4), by=sgd()),
    "residual": lambda: set_up(Residual(), pictures(), rt.L2(2.5e-4), by=sgd(0.05, momentum=0.9)),
    "residual from 0": lambda: set_up(changed(Residual(), lambda m: m.norm2.weight.zero_()), pictures()),
    "recurrent": lambda: set_up(Recurrent(), series()),
    "recurrent, SGD": lambda: set_up(Recurrent(nn.GRU), series(), by=sgd()),
    "attention": lambda: set_up(Former(), tokens(), by=lambda m: torch.optim.AdamW(m.parameters(), lr=1e-3)),
    "sparse gradients": lambda: set_up(
        nn.Sequential(nn.Embedding(50, 8, sparse=True), nn.Flatten(), nn.Linear(80, 2)),
        tokens(),
        rt.L2(1e-4, select="kernel|embedding"),
        by=sgd(),
    ),
    "bottleneck": lambda: set_up(bottleneck(nn.Sigmoid()), themselves(), loss=mse),
    "each pixel": lambda: set_up(per_pixel(), pixels()),
    "yes or no": lambda: set_up(mlp(out=5), several(), loss=bce),
    "probabilities": lambda: set_up(mlp(nn.Sigmoid(), out=5), several(), loss=F.binary_cross_entropy),
    "log-probabilities": lambda: set_up(mlp(nn.LogSoftmax(1)), vectors(), loss=F.nll_loss),
    "smoothed labels": lambda: set_up(mlp(), vectors(), loss=nn.CrossEntropyLoss(label_smoothing=0.1)),
    "numbers": lambda: set_up(mlp(out=1), numbers(), loss=huber),
    "counts": lambda: set_up(mlp(nn.Softplus(), out=1), targets(torch.abs, numbers), loss=mse),
    "doubles": lambda: set_up(mlp().double(), inputs(torch.Tensor.double)),
    "a dict": lambda: set_up(
        Then(mlp(), lambda o: {"logits": o}, lambda x: x["x"]),
        inputs(lambda x: {"x": x}),
        loss=lambda o, y: F.cross_entropy(o["logits"], y),
    ),
    "max-norm": lambda: set_up(mlp(), vectors(), rt.MaxNorm(3.0)),
    "unit norm": lambda: set_up(mlp(), vectors(), rt.UnitNorm(select="name:0.weight")),
    "dropout": lambda: set_up(dropped(nn.Dropout(0.5)), vectors()),
    "layer norm": lambda: set_up(dropped(nn.LayerNorm(64), nn.GELU()), vectors()),
    "head from 0": lambda: set_up(changed(mlp(), lambda m: [p.zero_() for p in m[4].parameters()]), vectors()),
    "small batches": lambda: set_up(mlp(), vectors(4)),
    "scalars": lambda: set_up(
        nn.Linear(4, 1), [(torch.randn(4), torch.tensor(1.0))] * 8, loss=lambda o, y: (o - y).square().mean()
    ),
}


def diagnosed(make: Callable[[], SetUp]) -> list[rt.Finding]:
    """The findings; everything has to be as it was."""
    torch.manual_seed(0)
    model, loss, batches, optimizer, rules = make()
    states = [model.state_dict(), {} if optimizer is None else optimizer.state_dict()]
    before, random = copy.deepcopy(states), torch.get_rng_state()
    found = rt.diagnose(model, loss, batches, optimizer, rules)
    torch.testing.assert_close(states, before, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(torch.get_rng_state(), random)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    for finding in found:
        assert finding.where, finding
        for sentence in (finding.why, finding.change):
            assert sentence[0].isupper() or not sentence[0].isalpha(), sentence
            assert sentence[-1] in ".`", sentence
    return found


@pytest.mark.sampled(35)
@pytest.mark.parametrize("case", ILL)
def test_the_planted_fault_is_named_first(case: str):
    make, causes = ILL[case]
    found = diagnosed(make)
    assert found
    assert found[0].cause in ([causes] if isinstance(causes, str) else causes), [f.cause for f in found]


@pytest.mark.sampled(14)
@pytest.mark.parametrize("case", HEALTHY)
def test_the_healthy_have_nothing_severe(case: str):
    assert [f.cause for f in diagnosed(HEALTHY[case]) if f.severity == "severe"] == []
