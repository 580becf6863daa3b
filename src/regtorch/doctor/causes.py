"""Every cause that the doctor knows, in one table: what is wrong first comes before what follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["CAUSES", "EXAMINED", "MEASUREMENTS", "SEVERITIES", "Cause", "Severity", "precedence"]

Severity = Literal["severe", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("severe", "warning", "info")
"""The gravest first."""


@dataclass(frozen=True)
class Cause:
    """A cause.

    Attributes:
        name: its identifier.
        title: in plain words.
        severities: those that a finding of it can have.
        prevents_steps: whether no step can be made where it is severe.
        structural: whether it lies in how the model, its loss or its rules are set up: where short trainings refute
            it, it stays as a warning, as a longer one may suffer from it.
    """

    name: str
    title: str
    severities: tuple[Severity, ...]
    prevents_steps: bool = False
    structural: bool = False

    @property
    def page(self) -> str:
        """Where the documentation speaks of it."""
        return f"docs/doctor.md#{self.name}"


@dataclass(frozen=True)
class _Group:
    """Causes of one rank.

    Attributes:
        measurement: the module of `regtorch.doctor.measure` that finds them; empty where watching the steps does.
        subject: what is looked at, in words.
        causes: ordered by their findings' own weight.
    """

    measurement: str
    subject: str
    causes: tuple[Cause, ...]


_ALL: tuple[Severity, ...] = SEVERITIES
_GRAVE: tuple[Severity, ...] = ("severe", "warning")
_STATE: tuple[Severity, ...] = ("severe", "info")
_MILD: tuple[Severity, ...] = ("warning", "info")
_SEVERE: tuple[Severity, ...] = ("severe",)
_WARNING: tuple[Severity, ...] = ("warning",)
_INFO: tuple[Severity, ...] = ("info",)


def _severe(name: str, title: str) -> Cause:
    return Cause(name, title, _SEVERE, prevents_steps=True)


def _against_the_loss(name: str, title: str, severities: tuple[Severity, ...] = _SEVERE) -> Cause:
    return Cause(name, title, severities, structural=True)


_TABLE = (
    _Group(
        "trainable",
        "the weights",
        (
            _severe("no_parameters", "The model has no parameters"),
            _severe("nothing_trainable", "All weights are frozen"),
            _severe("weights_not_finite", "Weights are not finite"),
            _severe("empty_batch", "A batch is empty"),
            Cause("weights_not_owned", "Weights that the optimizer does not own", _WARNING),
            Cause("frozen_weights", "Frozen weights", _INFO),
        ),
    ),
    _Group(
        "",
        "",
        (Cause("model_fails", "The model raises an error", _SEVERE),),
    ),
    _Group(
        "constant_loss",
        "the loss",
        (
            _severe("constant_loss", "The loss is constant"),
            _severe("softmax_over_one_unit", "A softmax over a single unit"),
        ),
    ),
    _Group(
        "inputs",
        "inputs",
        (
            Cause("input_not_finite", "Inputs are not finite", _STATE),
            Cause("input_scale", "The scale of the inputs", _GRAVE),
            Cause("constant_features", "Features that never change", _STATE),
        ),
    ),
    _Group(
        "labels",
        "labels",
        (
            Cause("target_not_finite", "Targets are not finite", _STATE),
            _severe("label_range", "Labels without an output"),
            _severe("label_form", "Labels of a form that the loss refuses"),
            Cause("one_hot_labels", "One-hot labels", _STATE),
            Cause("target_scale", "The scale of the targets", _WARNING),
            Cause("one_class", "All labels are of one class", _SEVERE),
            Cause("labels_unrelated", "Labels unrelated to the inputs", _ALL),
            Cause("imbalance", "Imbalanced classes", _WARNING),
        ),
    ),
    _Group(
        "head",
        "the head against the loss",
        (
            Cause("loss_sign", "The sign of the loss", _SEVERE),
            Cause("target_broadcast", "Outputs and targets broadcast against each other", _SEVERE),
            Cause("nll_without_log_softmax", "A likelihood loss without a log-softmax", _GRAVE),
            _against_the_loss("softmax_before_cross_entropy", "A softmax before cross entropy"),
            _against_the_loss("log_softmax_before_cross_entropy", "A log-softmax before cross entropy", _INFO),
            _against_the_loss("sigmoid_before_cross_entropy", "A sigmoid before cross entropy"),
            _against_the_loss("tanh_before_cross_entropy", "A tanh before cross entropy"),
            _against_the_loss("sigmoid_before_bce_with_logits", "A sigmoid before a loss of logits"),
            _against_the_loss("tanh_before_bce_with_logits", "A tanh before a loss of logits"),
            Cause("softmax_over_wrong_dim", "A softmax over the wrong dim", _SEVERE),
            _against_the_loss("nonnegative_logits", "Logits that cannot be negative", _GRAVE),
            _against_the_loss("target_outside_head", "Targets outside the range of the head"),
            Cause("constant_predictions", "The same output for every input", _WARNING),
            Cause("bounded_head", "A bounded head in a regression", _WARNING),
        ),
    ),
    _Group(
        "",
        "",
        (
            Cause("loss_fails", "The loss raises an error", _SEVERE),
            Cause("no_gradient", "No gradient leads back from the loss", _SEVERE),
            Cause("optimizer_fails", "The optimizer raises an error", _STATE),
        ),
    ),
    _Group("symmetry", "initial weights", (Cause("symmetric_units", "Units that are copies of each other", _SEVERE),)),
    _Group("reach", "gradients", (Cause("no_gradient_reaches", "Weights that no gradient reaches", _GRAVE),)),
    _Group("constraint", "constraints", (Cause("constraint_too_tight", "A constraint is too tight", _GRAVE),)),
    _Group("rate", "the learning rate", (Cause("rate_too_small", "The learning rate moves nothing", _GRAVE),)),
    _Group("inputs", "inputs", (Cause("input_offset", "The offset of the inputs", _ALL),)),
    _Group(
        "rate",
        "the learning rate",
        (
            Cause("diverges", "Training diverges", _SEVERE),
            Cause("rate_too_large", "The learning rate is too large", _GRAVE),
            Cause("first_step_too_large", "The first step is too large", _SEVERE),
            Cause("rate_scheduled", "The learning rate is on a schedule", _INFO),
        ),
    ),
    _Group(
        "penalty",
        "the penalty's share of loss and gradient",
        (
            Cause("collapse", "The penalty empties weights", _SEVERE),
            Cause("penalty_dominates", "The penalty is strong", _ALL),
        ),
    ),
    _Group("summed", "the reduction of the loss", (Cause("summed_loss", "The loss is a sum over the batch", _MILD),)),
    _Group(
        "scope",
        "the penalised weights",
        (
            Cause("bias_penalised", "Biases are penalised", _MILD, structural=True),
            Cause("norm_penalised", "Norm weights are penalised", _MILD, structural=True),
            Cause("decay_twice", "Weights decay twice", _WARNING, structural=True),
        ),
    ),
    _Group(
        "dropout",
        "dropout",
        (
            Cause("dropout_leaves_few_units", "Dropout leaves few units", _GRAVE),
            Cause("dropout_too_strong", "Dropout is too strong", _GRAVE),
            Cause("dropout_before_batch_norm", "Dropout before a batch norm", _ALL),
            Cause("random_in_evaluation", "Evaluation is random", _WARNING),
        ),
    ),
    _Group(
        "activations",
        "activations",
        (
            Cause("dead_relus", "ReLUs are dead", _ALL),
            Cause("saturated_sigmoids", "Sigmoids are saturated", _GRAVE),
        ),
    ),
    _Group(
        "norms",
        "batch norm",
        (
            _severe("batch_of_one", "Batch norm on a batch of one"),
            Cause("small_batch_norm", "Batch norm on small batches", _WARNING),
            Cause("norm_idle", "A batch norm with little to do", _MILD),
            Cause("scale_hidden_by_norm", "A norm hides the scale of penalised weights", _INFO),
            Cause("bias_before_norm", "A bias before a norm does nothing", _INFO),
        ),
    ),
    _Group("head", "the head against the loss", (Cause("loss_at_chance", "The loss is what guessing gives", _INFO),)),
    _Group("", "", (Cause("measurement_failed", "A measurement failed", _INFO),)),
    _Group("", "", (Cause("optimizer_not_watched", "The optimizer was not watched", _INFO),)),
    _Group(
        "validation",
        "the validation part",
        (
            Cause("validation_leak", "Validation samples are trained on", _GRAVE),
            Cause("validation_noise", "Few validation samples", _MILD),
        ),
    ),
)
CAUSES = {cause.name: cause for group in _TABLE for cause in group.causes}
"""By identifier."""
FOUND_BY = {cause.name: group.measurement for group in _TABLE for cause in group.causes}
"""The measurement that finds each cause; empty where watching the steps does."""
_RANKS = {cause.name: rank for rank, group in enumerate(_TABLE) for cause in group.causes}

_BLOCKING = [group.measurement for group in _TABLE if any(cause.prevents_steps for cause in group.causes)]
_OF_A_NET = [group.measurement for group in _TABLE if group.measurement not in ("", "validation")]
MEASUREMENTS = tuple(dict.fromkeys([*_BLOCKING, *_OF_A_NET]))
"""What measures a net, in the order in which it does: what finds that no step can be made goes first."""

_SUBJECTS = list(dict.fromkeys(group.subject for group in _TABLE if group.subject))
EXAMINED = f"{', '.join(_SUBJECTS[:-1])}, and {_SUBJECTS[-1]}"
"""All that is examined, in words."""


def precedence(severity: str, cause: str) -> tuple[int, int]:
    """What findings are ordered by: the gravest first, then what is wrong before what follows from it.

    Severities and causes that another version wrote come last.
    """
    severities: tuple[str, ...] = SEVERITIES
    rank = severities.index(severity) if severity in severities else len(severities)
    return rank, _RANKS.get(cause, len(_TABLE))
