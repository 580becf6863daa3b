"""Programs with one labelled fault each: base programs and the operators that spoil them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Adadelta, Adagrad, Adam, AdamW, RMSprop

import regtorch as rt
from programs import data as d
from programs import nets as n
from programs import program as p
from programs.healthy import BASES, bce, bce_of_probabilities, ce, mse
from programs.program import Operator, Program

__all__ = ["FAULTY", "Fault"]

Fault = tuple[Program, tuple[str, ...]]
"""A program, and the causes that name its fault."""

SLOW = ("rate_too_small",)
FAST = ("rate_too_large", "first_step_too_large", "diverges")
INPUTS = ("input_scale", "input_offset", "feature_scale")
STRONG = ("penalty_dominates", "collapse")
START = ("start_too_large",)


def hinge(output: Tensor, target: Tensor) -> Tensor:
    return (1 - output * target).clamp(min=0).mean()


def of_rows(output: Tensor, target: Tensor) -> Tensor:
    """A cross entropy of probabilities, written by hand."""
    return -(target * output.clamp_min(1e-7).log()).sum(1).mean()


def crossed(output: Tensor, target: Tensor) -> Tensor:
    """The same with its arguments in the wrong order."""
    return of_rows(target, output)


def unclipped(output: Tensor, target: Tensor) -> Tensor:
    return -(target * output.log() + (1 - target) * (1 - output).log()).mean()


def rows(classes: int) -> Operator:
    return p.targets(lambda y: F.one_hot(y, classes).float())


def floats(program: Program) -> Program:
    """Class indices as a column of numbers, for one output."""
    return p.targets(lambda y: y.float()[:, None])(program)


def one_output(*behind: Callable[[], nn.Module]) -> Operator:
    def change(model: nn.Module) -> None:
        name, last = [(k, m) for k, m in model.named_modules() if isinstance(m, nn.Linear)][-1]
        model.set_submodule(name, nn.Sequential(nn.Linear(last.in_features, 1), *(layer() for layer in behind)))

    return p.then(change)


def shuffled(data: d.Data) -> d.Data:
    order = torch.randperm(len(data.y), generator=torch.Generator().manual_seed(1))
    return d.Data(data.x, data.y[order], data.vx, data.vy)


def in_order(data: d.Data) -> d.Data:
    order = data.y.flatten().argsort(stable=True)
    return d.Data(data.x[order], data.y[order], data.vx, data.vy)


def rarely(share: float) -> Callable[[d.Data], d.Data]:
    """All of the first class, and a share of the others."""

    def arrange(data: d.Data) -> d.Data:
        own = torch.Generator().manual_seed(2)
        kept = (data.y.flatten() == 0) | (torch.rand(len(data.y), generator=own) < share)
        return d.Data(data.x[kept], data.y[kept], data.vx, data.vy)

    return arrange


def one_feature(factor: float) -> Operator:
    return p.inputs(lambda x: torch.cat([x[:, :1] * factor, x[:, 1:]], 1))


class Rounded(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.round()


class Noisy(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.5)


class Stuck(nn.BatchNorm2d):
    """Stays in evaluation mode."""

    def train(self, mode: bool = True) -> Stuck:
        return super().train(False)


class Blind(nn.Module):
    """A layer under no_grad."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.inner(x)


def wrapped(name: str, kind: Callable[[nn.Module], nn.Module]) -> Operator:
    return p.then(lambda model: model.set_submodule(name, kind(model.get_submodule(name))))


def head_only(model: nn.Module) -> list[Tensor]:
    return list(model.parameters())[-2:]


def freeze_all_but_last(model: nn.Module) -> None:
    for parameter in list(model.parameters())[:-2]:
        parameter.requires_grad_(False)


def lower_biases(model: nn.Module) -> None:
    for name, parameter in list(model.named_parameters())[:-2]:
        if name.endswith("bias"):
            parameter.fill_(-8.0)


def unequal(model: nn.Module) -> None:
    kernels = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    kernels[0].mul_(60)


own = torch.Generator().manual_seed(3)
normal, uniform = partial(torch.Tensor.normal_, generator=own), partial(torch.Tensor.uniform_, generator=own)
softmax = p.behind(lambda: nn.Softmax(1))

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
        "irises", p.also(floats, one_output(), p.loss(bce)), ("unbounded_loss", "regression_on_classes")
    ),
    "digits, labels / 255 under BCE": (
        "digits",
        p.also(floats, p.targets(lambda y: y / 255), one_output(nn.Sigmoid), p.loss(bce_of_probabilities)),
        ("target_scale",),
    ),
    "mnist, labels / 255": (
        "mnist", p.also(floats, p.targets(lambda y: y / 255), one_output(), p.loss(mse)), ("target_scale",)
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
    # Losses
    "digits, MSE on a softmax": ("digits", p.also(softmax, rows(10), p.loss(mse)), ("regression_on_classes",)),
    "wines, L1 on a softmax": ("wines", p.also(softmax, rows(3), p.loss(F.l1_loss)), ("regression_on_classes",)),
    "tumours, MSE on a sigmoid": ("tumours", p.also(p.behind(nn.Sigmoid), p.loss(mse)), ("regression_on_classes",)),
    "rings, MSE on class numbers": ("rings", p.also(floats, one_output(), p.loss(mse)), ("regression_on_classes",)),
    "irises, MSE on class numbers": ("irises", p.also(floats, one_output(), p.loss(mse)), ("regression_on_classes",)),
    "patients, hinge": ("patients", p.loss(hinge), ("ignored_targets",)),
    "patients, positives alone": (
        "patients", p.loss(lambda output, y: -(y * output.clamp_min(1e-7).log()).mean()), ("ignored_targets",)
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
        "xor", p.also(p.net(lambda: nn.Sequential(n.dense(2, 8, 1), nn.Softmax(1))), p.loss(mse)), ("softmax_over_one_unit",)
    ),
    "digits, NLL on a softmax": ("digits", p.also(softmax, p.loss(F.nll_loss)), ("nll_without_log_softmax",)),
    "wines, NLL on logits": ("wines", p.loss(F.nll_loss), ("nll_without_log_softmax",)),
    "digits, cross entropy of sigmoids": (
        "digits", p.also(p.behind(nn.Sigmoid), rows(10), p.loss(of_rows)), ("ignored_targets", "unnormalised_outputs")
    ),
    "wines, -log of a sigmoid": (
        "wines", p.also(p.behind(nn.Sigmoid), p.loss(lambda o, y: F.nll_loss((o + 1e-7).log(), y))), ("ignored_targets", "unnormalised_outputs")
    ),
    "mnist, BCE on a softmax": ("mnist", p.also(softmax, rows(10), p.loss(bce_of_probabilities)), ("binary_loss_on_classes",)),
    "digits, crossed arguments": ("digits", p.also(softmax, rows(10), p.loss(crossed)), ("swapped_arguments", "loss_sign")),
    "patients, crossed arguments": (
        "patients", p.loss(lambda output, y: bce_of_probabilities(y.clamp(0.001, 0.999), output)), ("swapped_arguments", "loss_sign")
    ),
    "raw patients, an unclipped loss": (
        "patients", p.also(p.data(d.raw_patients), p.loss(unclipped), p.net(lambda: nn.Sequential(n.dense(8, 1), nn.Sigmoid()))),
        ("diverges", "unclipped_loss", *INPUTS),
    ),
    "digits, sum": ("digits", p.also(p.loss(partial(ce, reduction="sum")), p.by(SGD, 0.1)), ("summed_loss", *FAST)),
    "houses, sum": ("houses", p.also(p.loss(partial(mse, reduction="sum")), p.by(SGD, 0.01)), ("summed_loss", *FAST)),
    "digits, detached": ("digits", p.loss(lambda output, y: ce(output.detach(), y)), ("no_gradient", "constant_loss")),
    "rings, argmax": (
        "rings", p.loss(lambda output, y: (output.argmax(1) - y).float().square().mean().requires_grad_()), ("no_gradient", "constant_loss", "no_gradient_reaches")
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
        "patients", p.also(p.net(lambda: n.dense(8, 12, 1)), p.behind(nn.ReLU), p.loss(lambda o, y: bce_of_probabilities(o.clamp(0, 1), y))), ("nonnegative_logits", "target_outside_head", "bounded_head")
    ),
    "houses, ReLU behind": ("houses", p.behind(nn.ReLU), ("target_outside_head",)),
    "progression, sigmoid behind": ("progression", p.behind(nn.Sigmoid), ("target_outside_head",)),
    "houses, tanh behind": ("houses", p.also(p.targets(lambda y: 5 * y + 20), p.behind(nn.Tanh)), ("target_outside_head",)),
    "waves, softmax behind": ("waves", p.behind(lambda: nn.Softmax(1)), ("softmax_over_one_unit",)),
    "digits, softmax over samples": (
        "digits", p.also(p.behind(lambda: nn.Softmax(0)), rows(10), p.loss(of_rows)), ("softmax_over_wrong_dim",)
    ),
    # Layers
    "digits, no activation": ("digits", p.swapped(nn.ReLU, nn.Identity), ("no_activation",)),
    "rings, no activation": ("rings", p.swapped(nn.ReLU, nn.Identity), ("no_activation",)),
    "sine, no activation": ("sine", p.swapped(nn.Tanh, nn.Identity), ("no_activation",)),
    "textures, no activation": (
        "textures", p.also(p.net(lambda: n.cnn(3, 16, 5)), p.swapped(nn.ReLU, nn.Identity)), ("no_activation",)
    ),
    "digits, hidden softmaxes": ("digits", p.swapped(nn.ReLU, lambda: nn.Softmax(1)), ("hidden_softmax",)),
    "houses, a hidden softmax": ("houses", p.swapped(nn.ReLU, lambda: nn.Softmax(1), 1), ("hidden_softmax",)),
    "digits, ten sigmoids": ("digits", p.net(lambda: n.dense(64, *[32] * 10, 10, act=nn.Sigmoid)), ("vanishing_gradients",)),
    "houses, fifteen sigmoids": ("houses", p.net(lambda: n.dense(10, *[24] * 15, 1, act=nn.Sigmoid)), ("vanishing_gradients",)),
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
    "wines, saturated": ("wines", p.then(lambda m: list(m.parameters())[0].mul_(60)), ("saturated_sigmoids", *START)),
    "branches, detached": ("branches", p.net(lambda: n.Encoder(13, 3, detached=True)), ("no_gradient_reaches",)),
    "houses, a layer under no_grad": ("houses", wrapped("3", Blind), ("no_gradient_reaches",)),
    "digits, dropout of .95": ("digits", p.net(lambda: n.dense(64, 64, 32, 10, drop=0.95)), ("dropout_too_strong", "dropout_leaves_few_units")),
    "reviews, dropout of .9": ("reviews", p.net(lambda: n.dense(800, 64, 1, drop=0.9)), ("dropout_too_strong",)),
    "patients, dropout on few units": (
        "patients", p.net(lambda: nn.Sequential(n.dense(8, 6, 3, 1, drop=0.5), nn.Sigmoid())), ("dropout_leaves_few_units",)
    ),
    "digits, always dropout": ("digits", p.behind(Noisy), ("random_in_evaluation",)),
    "digits bn, batches of 2": ("digits bn", p.size(2), ("small_batch_norm",)),
    "houses, batch norm and one sample": (
        "houses", p.also(p.net(lambda: n.dense(10, 32, 1, norm=nn.BatchNorm1d)), p.size(1)), ("batch_of_one",)
    ),
    "textures, a norm in evaluation": (
        "textures", p.then(lambda m: m.set_submodule("1", Stuck(8))), ("eval_left_on",)
    ),
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
FAULTY: dict[str, Fault] = {name: (change(BASES[of]), causes) for name, (of, change, causes) in TABLE.items()}
