"""Faults of the loss, the head, the layers and the rules."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD

import regtorch as rt
from programs import data as d
from programs import nets as n
from programs import program as p
from programs.healthy import bce, bce_of_probabilities, ce, mse
from programs.program import Operator
from programs.spoiling import (
    FAST,
    INPUTS,
    SLOW,
    START,
    STRONG,
    Blind,
    Noisy,
    Rounded,
    Stuck,
    crossed,
    floats,
    hinge,
    lower_biases,
    normal,
    of_rows,
    one_output,
    rows,
    softmax,
    unclipped,
    unequal,
    uniform,
    wrapped,
)

__all__ = ["TABLE"]

TABLE: Mapping[str, tuple[str, Operator, tuple[str, ...]]] = {
    # Losses
    "digits, MSE on a softmax": ("digits", p.also(softmax, rows(10), p.loss(mse)), ("regression_on_classes",)),
    "wines, L1 on a softmax": ("wines", p.also(softmax, rows(3), p.loss(F.l1_loss)), ("regression_on_classes",)),
    "tumours, MSE on a sigmoid": ("tumours", p.also(p.behind(nn.Sigmoid), p.loss(mse)), ("regression_on_classes",)),
    "rings, MSE on class numbers": ("rings", p.also(floats, one_output(), p.loss(mse)), ("regression_on_classes",)),
    "irises, MSE on class numbers": ("irises", p.also(floats, one_output(), p.loss(mse)), ("regression_on_classes",)),
    "patients, hinge": ("patients", p.loss(hinge), ("ignored_targets",)),
    "patients, positives alone": (
        "patients",
        p.loss(lambda output, y: -(y * output.clamp_min(1e-7).log()).mean()),
        ("ignored_targets",),
    ),
    "digits, minus": ("digits", p.loss(lambda output, y: -ce(output, y)), ("loss_sign",)),
    "houses, minus": ("houses", p.loss(lambda output, y: -mse(output, y)), ("loss_sign",)),
    "tumours, minus": ("tumours", p.loss(lambda output, y: -bce(output, y)), ("loss_sign",)),
    "rings, one unit": ("rings", one_output(), ("constant_loss", "label_range")),
    "patients, a softmax unit": (
        "patients",
        p.net(lambda: nn.Sequential(n.dense(8, 12, 1), nn.Softmax(1))),
        ("softmax_over_one_unit",),
    ),
    "xor, a softmax unit under MSE": (
        "xor",
        p.also(p.net(lambda: nn.Sequential(n.dense(2, 8, 1), nn.Softmax(1))), p.loss(mse)),
        ("softmax_over_one_unit",),
    ),
    "digits, NLL on a softmax": ("digits", p.also(softmax, p.loss(F.nll_loss)), ("nll_without_log_softmax",)),
    "wines, NLL on logits": ("wines", p.loss(F.nll_loss), ("nll_without_log_softmax",)),
    "digits, cross entropy of sigmoids": (
        "digits",
        p.also(p.behind(nn.Sigmoid), rows(10), p.loss(of_rows)),
        ("ignored_targets", "unnormalised_outputs"),
    ),
    "wines, -log of a sigmoid": (
        "wines",
        p.also(p.behind(nn.Sigmoid), p.loss(lambda o, y: F.nll_loss((o + 1e-7).log(), y))),
        ("ignored_targets", "unnormalised_outputs"),
    ),
    "mnist, BCE on a softmax": (
        "mnist",
        p.also(softmax, rows(10), p.loss(bce_of_probabilities)),
        ("binary_loss_on_classes",),
    ),
    "digits, crossed arguments": (
        "digits",
        p.also(softmax, rows(10), p.loss(crossed)),
        ("swapped_arguments", "loss_sign"),
    ),
    "patients, crossed arguments": (
        "patients",
        p.loss(lambda output, y: bce_of_probabilities(y.clamp(0.001, 0.999), output)),
        ("swapped_arguments", "loss_sign"),
    ),
    "raw patients, an unclipped loss": (
        "patients",
        p.also(p.data(d.raw_patients), p.loss(unclipped), p.net(lambda: nn.Sequential(n.dense(8, 1), nn.Sigmoid()))),
        ("diverges", *INPUTS),
    ),
    "digits, sum": ("digits", p.also(p.loss(partial(ce, reduction="sum")), p.by(SGD, 0.1)), ("summed_loss", *FAST)),
    "houses, sum": ("houses", p.also(p.loss(partial(mse, reduction="sum")), p.by(SGD, 0.01)), ("summed_loss", *FAST)),
    "digits, detached": ("digits", p.loss(lambda output, y: ce(output.detach(), y)), ("no_gradient", "constant_loss")),
    "rings, argmax": (
        "rings",
        p.loss(lambda output, y: (output.argmax(1) - y).float().square().mean().requires_grad_()),
        ("no_gradient", "constant_loss", "no_gradient_reaches"),
    ),
    "progression, rounded": ("progression", p.behind(Rounded), ("no_gradient_reaches",)),
    "digits, times 0": ("digits", p.loss(lambda output, y: 0 * ce(output, y)), ("constant_loss",)),
    "rings, scaled by 1e-9": ("rings", p.loss(lambda output, y: 1e-9 * ce(output, y)), SLOW),
    "digits, scaled by 1e-10": ("digits", p.loss(lambda output, y: 1e-10 * ce(output, y)), SLOW),
    # Heads
    "digits, softmax before cross entropy": ("digits", softmax, ("softmax_before_cross_entropy",)),
    "textures, softmax before cross entropy": ("textures", softmax, ("softmax_before_cross_entropy",)),
    "regions, softmax before cross entropy": ("regions", softmax, ("softmax_before_cross_entropy",)),
    "wines, sigmoid before cross entropy": ("wines", p.behind(nn.Sigmoid), ("sigmoid_before_cross_entropy",)),
    "irises, tanh before cross entropy": ("irises", p.behind(nn.Tanh), ("tanh_before_cross_entropy",)),
    "mnist, ReLU before cross entropy": ("mnist", p.behind(nn.ReLU), ("nonnegative_logits",)),
    "reviews, sigmoid twice": ("reviews", p.behind(nn.Sigmoid), ("sigmoid_before_bce_with_logits",)),
    "sentences, tanh before logits": ("sentences", p.behind(nn.Tanh), ("tanh_before_bce_with_logits",)),
    "tumours, ReLU before logits": ("tumours", p.behind(nn.ReLU), ("nonnegative_logits",)),
    "patients, ReLU as probability": (
        "patients",
        p.also(
            p.net(lambda: n.dense(8, 12, 1)),
            p.behind(nn.ReLU),
            p.loss(lambda o, y: bce_of_probabilities(o.clamp(0, 1), y)),
        ),
        ("nonnegative_logits", "target_outside_head", "bounded_head"),
    ),
    "houses, ReLU behind": ("houses", p.behind(nn.ReLU), ("target_outside_head",)),
    "progression, sigmoid behind": ("progression", p.behind(nn.Sigmoid), ("target_outside_head",)),
    "houses, tanh behind": (
        "houses",
        p.also(p.targets(lambda y: 5 * y + 20), p.behind(nn.Tanh)),
        ("target_outside_head",),
    ),
    "waves, softmax behind": ("waves", p.behind(lambda: nn.Softmax(1)), ("softmax_over_one_unit",)),
    "digits, softmax over samples": (
        "digits",
        p.also(p.behind(lambda: nn.Softmax(0)), rows(10), p.loss(of_rows)),
        ("softmax_over_wrong_dim",),
    ),
    # Layers
    "digits, no activation": ("digits", p.swapped(nn.ReLU, nn.Identity), ("no_activation",)),
    "rings, no activation": ("rings", p.swapped(nn.ReLU, nn.Identity), ("no_activation",)),
    "sine, no activation": ("sine", p.swapped(nn.Tanh, nn.Identity), ("no_activation",)),
    "textures, no activation": (
        "textures",
        p.also(p.net(lambda: n.cnn(3, 16, 5)), p.swapped(nn.ReLU, nn.Identity)),
        ("no_activation",),
    ),
    "digits, hidden softmaxes": ("digits", p.swapped(nn.ReLU, lambda: nn.Softmax(1)), ("hidden_softmax",)),
    "houses, a hidden softmax": ("houses", p.swapped(nn.ReLU, lambda: nn.Softmax(1), 1), ("hidden_softmax",)),
    "digits, ten sigmoids": (
        "digits",
        p.net(lambda: n.dense(64, *[32] * 10, 10, act=nn.Sigmoid)),
        ("vanishing_gradients",),
    ),
    "houses, fifteen sigmoids": (
        "houses",
        p.net(lambda: n.dense(10, *[24] * 15, 1, act=nn.Sigmoid)),
        ("vanishing_gradients",),
    ),
    "digits, thirty ReLUs": ("digits", p.net(lambda: n.dense(64, *[32] * 30, 10)), ("vanishing_gradients",)),
    "digits, one unit": ("digits", p.net(lambda: n.dense(64, 1, 10)), ("too_few_units",)),
    "letters, a bottleneck of one": ("letters", p.net(lambda: n.dense(784, 64, 1, 10)), ("too_few_units",)),
    "digits, zeros": ("digits", p.then(lambda m: [w.zero_() for w in m.parameters()]), ("symmetric_units",)),
    "wines, ones": ("wines", p.kernels(partial(torch.Tensor.fill_, value=1.0)), ("symmetric_units", *START)),
    "textures, halves": ("textures", p.kernels(partial(torch.Tensor.fill_, value=0.5)), ("symmetric_units", *START)),
    "mnist, N(0, 1)": ("mnist", p.kernels(normal), START),
    "digits cnn, N(0, 1)": ("digits cnn", p.kernels(normal), START),
    "letters, U(0, 1)": ("letters", p.kernels(uniform), START),
    "tumours, N(0, 9)": ("tumours", p.kernels(partial(normal, std=3.0)), START),
    "deep, N(0, 1)": ("deep", p.kernels(normal), (*START, *FAST)),
    "houses, tiny weights": ("houses", p.kernels(lambda w: w.mul_(1e-4)), ("start_too_small",)),
    "digits, tiny weights": ("digits", p.kernels(lambda w: w.mul_(1e-3)), ("start_too_small",)),
    "digits, unequal layers": ("digits", p.then(unequal), START),
    "digits, dead ReLUs": ("digits", p.then(lower_biases), ("dead_relus",)),
    "wines, saturated": ("wines", p.then(lambda m: next(m.parameters()).mul_(60)), ("saturated_sigmoids", *START)),
    "branches, detached": ("branches", p.net(lambda: n.Encoder(13, 3, detached=True)), ("no_gradient_reaches",)),
    "houses, a layer under no_grad": ("houses", wrapped("3", Blind), ("no_gradient_reaches",)),
    "digits, dropout of .95": (
        "digits",
        p.net(lambda: n.dense(64, 64, 32, 10, drop=0.95)),
        ("dropout_too_strong", "dropout_leaves_few_units"),
    ),
    "reviews, dropout of .9": ("reviews", p.net(lambda: n.dense(800, 64, 1, drop=0.9)), ("dropout_too_strong",)),
    "patients, dropout on few units": (
        "patients",
        p.net(lambda: nn.Sequential(n.dense(8, 6, 3, 1, drop=0.5), nn.Sigmoid())),
        ("dropout_leaves_few_units",),
    ),
    "digits, always dropout": ("digits", p.behind(Noisy), ("random_in_evaluation",)),
    "digits cnn, centred in training alone": (
        "digits cnn",
        p.before(lambda: n.ByMode(lambda x: (x - 0.3) / 0.2)),
        ("other_inputs_in_evaluation",),
    ),
    "houses, divided in evaluation alone": (
        "houses",
        p.before(lambda: n.ByMode(lambda x: x, lambda x: x / 255)),
        ("other_inputs_in_evaluation",),
    ),
    "digits bn, batches of 2": ("digits bn", p.size(2), ("small_batch_norm",)),
    "houses, batch norm and one sample": (
        "houses",
        p.also(p.net(lambda: n.dense(10, 32, 1, norm=nn.BatchNorm1d)), p.size(1)),
        ("batch_of_one",),
    ),
    "textures, a norm in evaluation": ("textures", p.then(lambda m: m.set_submodule("1", Stuck(8))), ("eval_left_on",)),
    # Rules
    "digits, L2 of .1": ("digits", p.rules(rt.L2(0.1)), STRONG),
    "houses, L1 of .05": ("houses", p.rules(rt.L1(0.05)), STRONG),
    "signals, L2 of .05": ("signals", p.rules(rt.L2(0.05)), STRONG),
    "textures, L1L2 of .02": ("textures", p.rules(rt.L1L2(0.02, 0.02)), STRONG),
    "digits, max-norm of .02": ("digits", p.rules(rt.MaxNorm(0.02)), ("constraint_too_tight",)),
    "wines, biases too": ("wines", p.rules(rt.L2(1e-4, select="all")), ("bias_penalised",)),
    "digits bn, norms too": ("digits bn", p.rules(rt.L2(1e-4, select="all -bias")), ("norm_penalised",)),
    "tumours, decay twice": ("tumours", p.rules(rt.L2(1e-5)), ("decay_twice",)),
}
