"""Faults of the rate, the optimizer, the inputs and the targets."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Adadelta, Adagrad, Adam, AdamW

from programs import data as d
from programs import nets as n
from programs import program as p
from programs.healthy import bce, bce_of_probabilities, ce, mse
from programs.program import Operator
from programs.spoiling import (
    FAST,
    INPUTS,
    SLOW,
    STRONG,
    floats,
    freeze_all_but_last,
    head_only,
    in_order,
    one_feature,
    one_output,
    rarely,
    shuffled,
    softmax,
)

__all__ = ["TABLE"]

TABLE: Mapping[str, tuple[str, Operator, tuple[str, ...]]] = {
    # The rate, and the optimizer
    "digits, SGD at 1e-4": ("digits", p.by(SGD, 1e-4), SLOW),
    "mnist cnn, Adam at 1e-6": ("mnist cnn", p.by(Adam, 1e-6), SLOW),
    "houses, RMSprop at 1e-7": ("houses", p.lr(1e-7), SLOW),
    "rings, Adadelta at 1e-3": ("rings", p.by(Adadelta, 1e-3), SLOW),
    "tumours, AdamW at 1e-5": ("tumours", p.lr(1e-5), SLOW),
    "xor, SGD at 1e-3": ("xor", p.by(SGD, 1e-3), SLOW),
    "wines, SGD at 1e-5": ("wines", p.by(SGD, 1e-5), SLOW),
    "irises, Adagrad at 1e-5": ("irises", p.by(Adagrad, 1e-5), SLOW),
    "signals, SGD at 1e-5": ("signals", p.by(SGD, 1e-5), SLOW),
    "sine, Adam at 1": ("sine", p.lr(1.0), FAST),
    "digits cnn, SGD at 5": ("digits cnn", p.by(SGD, 5.0), FAST),
    "mnist, Adam at 1": ("mnist", p.lr(1.0), FAST),
    "progression, SGD at 5": ("progression", p.lr(5.0), FAST),
    "deep, Adam at .5": ("deep", p.lr(0.5), FAST),
    "textures, momentum at 20": ("textures", p.lr(20.0), FAST),
    "signals, Adam at 3": ("signals", p.lr(3.0), FAST),
    "topics, AdamW at .3": ("topics", p.by(AdamW, 0.3), FAST),
    "digits cnn, momentum .9999": ("digits cnn", p.by(SGD, 0.05, momentum=0.9999), ("momentum_too_high", *FAST)),
    "letters, momentum .9995": ("letters", p.by(SGD, 0.02, momentum=0.9995), ("momentum_too_high", *FAST)),
    "rings, SGD, no rate": ("rings", p.lr(0.0), SLOW),
    "digits, maximize": ("digits", p.by(Adam, 1e-3, maximize=True), ("loss_sign",)),
    "digits, the head alone is trained": ("digits", p.owning(head_only), ("weights_not_owned",)),
    "textures, the head alone is trained": ("textures", p.owning(head_only), ("weights_not_owned",)),
    "letters, random layers frozen": ("letters", p.then(freeze_all_but_last), ("frozen_weights",)),
    "wines, all frozen": ("wines", p.then(lambda m: m.requires_grad_(False)), ("nothing_trainable",)),
    "digits, decay of 1": ("digits", p.by(Adam, 1e-3, weight_decay=1.0), STRONG),
    "textures, decay of .5": ("textures", p.by(SGD, 0.02, momentum=0.9, weight_decay=0.5), STRONG),
    # Inputs
    "mnist, raw pixels": ("mnist", p.inputs(lambda x: 255 * x), INPUTS),
    "mnist cnn, raw pixels": ("mnist cnn", p.inputs(lambda x: 255 * x), INPUTS),
    "mnist, divided twice": ("mnist", p.inputs(lambda x: x / 255), INPUTS),
    "digits cnn, divided twice": ("digits cnn", p.inputs(lambda x: x / 255), INPUTS),
    "tumours, raw": ("tumours", p.data(d.raw_tumours), INPUTS),
    "wines, raw": ("wines", p.data(d.raw_wines), INPUTS),
    "patients, raw": ("patients", p.data(d.raw_patients), INPUTS),
    "houses, around 1000": ("houses", p.inputs(lambda x: x + 1000), INPUTS),
    "progression, one large feature": ("progression", one_feature(300.0), INPUTS),
    "wines, one large feature": ("wines", one_feature(1000.0), INPUTS),
    "houses, one huge feature": ("houses", one_feature(1e4), INPUTS),
    "tumours, NaN": ("tumours", p.inputs(lambda x: x.where(x < 3, torch.nan)), ("input_not_finite",)),
    "digits, blank": ("digits", p.inputs(torch.zeros_like), ("constant_features",)),
    # Labels and targets
    "digits, from 1": ("digits", p.targets(lambda y: y + 1), ("label_range",)),
    "digits, too few outputs": ("digits", p.net(lambda: n.dense(64, 32, 9)), ("label_range",)),
    "irises, floats": ("irises", p.targets(Tensor.float), ("label_form",)),
    "wines, a column": ("wines", p.targets(lambda y: y[:, None]), ("label_form",)),
    "mnist, rows of whole numbers": ("mnist", p.targets(lambda y: F.one_hot(y, 10)), ("one_hot_labels",)),
    "digits, shuffled labels": ("digits", p.arranged(shuffled), ("labels_unrelated",)),
    "mnist cnn, shuffled labels": ("mnist cnn", p.arranged(shuffled), ("labels_unrelated",)),
    "wines, shuffled labels": ("wines", p.arranged(shuffled), ("labels_unrelated",)),
    "houses, shuffled targets": ("houses", p.arranged(shuffled), ("labels_unrelated",)),
    "textures, shuffled labels": ("textures", p.arranged(shuffled), ("labels_unrelated",)),
    "digits, sorted": ("digits", p.arranged(in_order), ("batches_sorted",)),
    "textures, sorted": ("textures", p.arranged(in_order), ("batches_sorted",)),
    "patients, sorted": ("patients", p.arranged(in_order), ("batches_sorted",)),
    "houses, sorted": ("houses", p.arranged(in_order), ("batches_sorted",)),
    "mnist, zeros alone": ("mnist", p.arranged(rarely(0.0)), ("one_class",)),
    "patients, one in twenty": ("patients", p.arranged(rarely(0.03)), ("imbalance",)),
    "rings, one in fifteen": ("rings", p.arranged(rarely(0.05)), ("imbalance",)),
    "digits, other digits rare": ("digits", p.arranged(rarely(0.01)), ("imbalance",)),
    "tumours, -1 and 1": ("tumours", p.targets(lambda y: 2 * y - 1), ("unbounded_loss",)),
    "irises, class numbers under BCE": (
        "irises",
        p.also(floats, one_output(), p.loss(bce)),
        ("unbounded_loss", "regression_on_classes"),
    ),
    "digits, labels / 255 under BCE": (
        "digits",
        p.also(floats, p.targets(lambda y: y / 255), one_output(nn.Sigmoid), p.loss(bce_of_probabilities)),
        ("target_scale",),
    ),
    "mnist, labels / 255": (
        "mnist",
        p.also(floats, p.targets(lambda y: y / 255), one_output(), p.loss(mse)),
        ("target_scale",),
    ),
    "patients, labels / 255": ("patients", p.targets(lambda y: y / 255), ("target_scale",)),
    "houses, prices in dollars": ("houses", p.targets(lambda y: 8e4 * y + 2e5), ("target_scale",)),
    "progression, in thousands": ("progression", p.targets(lambda y: 5e3 * y + 1e4), ("target_scale", *FAST)),
    "sine, NaN": ("sine", p.targets(lambda y: y.where(y < 0.99, torch.nan)), ("target_not_finite",)),
    "progression, another shape": ("progression", p.targets(lambda y: y[:, 0]), ("target_broadcast",)),
    "patients, another shape": (
        "patients",
        p.also(p.targets(lambda y: y[:, 0]), p.loss(lambda output, y: ((output - y) ** 2).mean())),
        ("target_broadcast", "regression_on_classes"),
    ),
    "tags, softmax": ("tags", p.also(softmax, p.loss(bce_of_probabilities)), ("multi_hot_labels",)),
    "tags, cross entropy": ("tags", p.loss(ce), ("multi_hot_labels",)),
}
