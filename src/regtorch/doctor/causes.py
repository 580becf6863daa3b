"""Every cause that the doctor knows, in one table, ordered from cause to consequence."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Literal

__all__ = [
    "CAUSES",
    "EXAMINED",
    "MEASUREMENTS",
    "SEVERITIES",
    "SUBJECTS",
    "Cause",
    "Severity",
    "precedence",
    "title_of",
]

Severity = Literal["severe", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("severe", "warning", "info")
"""Most severe first."""


@dataclass(frozen=True)
class Cause:
    """One row of the table."""

    name: str  # a stable identifier
    title: str  # in plain words
    severities: tuple[Severity, ...]  # that its findings can have
    measurement: str  # the module of `regtorch.doctor.measure`; empty: the steps; "history": curves; "along": looks
    prevents_steps: bool = False  # no training step is possible where it is severe
    structural: bool = False  # a fault of the setup: short trainings cannot refute it, only weaken it to a warning

    @property
    def page(self) -> str:
        """Its entry in the documentation."""
        return f"docs/causes.md#{self.name}"


_ALL = SEVERITIES
_GRAVE: tuple[Severity, ...] = ("severe", "warning")
_STATE: tuple[Severity, ...] = ("severe", "info")
_MILD: tuple[Severity, ...] = ("warning", "info")
_SEVERE: tuple[Severity, ...] = ("severe",)
_WARNING: tuple[Severity, ...] = ("warning",)
_INFO: tuple[Severity, ...] = ("info",)

_TABLE = (
    Cause("no_parameters", "The model has no parameters", _SEVERE, "trainable", prevents_steps=True),
    Cause("nothing_trainable", "All weights are frozen", _SEVERE, "trainable", prevents_steps=True),
    Cause("weights_not_finite", "Weights are not finite", _SEVERE, "trainable", prevents_steps=True),
    Cause("empty_batch", "A batch is empty", _SEVERE, "trainable", prevents_steps=True),
    Cause("weights_not_owned", "Weights that the optimizer does not own", _WARNING, "trainable"),
    Cause("frozen_weights", "Frozen weights", _INFO, "trainable"),
    Cause("model_fails", "The model raises an error", _SEVERE, ""),
    Cause("constant_loss", "The loss is constant", _SEVERE, "constant_loss", prevents_steps=True),
    Cause("softmax_over_one_unit", "A softmax over a single unit", _SEVERE, "constant_loss", prevents_steps=True),
    Cause("input_not_finite", "Inputs are not finite", _STATE, "input_scale"),
    Cause("input_scale", "The scale of the inputs", _GRAVE, "input_scale"),
    Cause("feature_scale", "Features of unequal scale", _WARNING, "input_scale"),
    Cause("constant_features", "Features that never change", _STATE, "input_scale"),
    Cause("target_not_finite", "Targets are not finite", _STATE, "labels"),
    Cause("label_range", "Labels without an output", _SEVERE, "labels", prevents_steps=True),
    Cause("label_form", "Labels in a form that the loss rejects", _SEVERE, "labels", prevents_steps=True),
    Cause("one_hot_labels", "One-hot labels", _STATE, "labels"),
    Cause("target_scale", "The scale of the targets", _GRAVE, "labels"),
    Cause("loss_sign", "The sign of the loss", _SEVERE, "sign"),
    Cause("unbounded_loss", "Targets that leave the loss without a lower bound", _SEVERE, "loss_form", structural=True),
    Cause("multi_hot_labels", "Several labels a sample under a softmax", _SEVERE, "loss_form", structural=True),
    Cause("ignored_targets", "Samples that the loss ignores", _GRAVE, "loss_form", structural=True),
    Cause("regression_on_classes", "A regression loss for classes", _MILD, "loss_form", structural=True),
    Cause("swapped_arguments", "The loss takes outputs for targets", _SEVERE, "probabilities", structural=True),
    Cause("unnormalised_outputs", "Probabilities that need not sum to 1", _SEVERE, "probabilities", structural=True),
    Cause("binary_loss_on_classes", "A binary loss for classes", _MILD, "probabilities", structural=True),
    Cause("one_class", "All labels are of one class", _SEVERE, "labels"),
    Cause("labels_unrelated", "Labels unrelated to the inputs", _ALL, "labels"),
    Cause("imbalance", "Imbalanced classes", _MILD, "labels"),
    Cause("start_too_large", "Initial weights are too large", _ALL, "start"),
    Cause("start_too_small", "Initial weights are too small", _GRAVE, "start"),
    Cause("no_activation", "No activation between layers", _WARNING, "depth", structural=True),
    Cause("hidden_softmax", "A softmax between layers", _WARNING, "depth", structural=True),
    Cause("too_few_units", "A layer with too few units for the classes", _GRAVE, "depth", structural=True),
    Cause("vanishing_gradients", "Gradients vanish towards the first layers", _GRAVE, "depth"),
    Cause("batches_sorted", "Batches are sorted by target", _GRAVE, "order"),
    Cause("samples_mixed", "Outputs depend on other samples", _MILD, "mixed_samples"),
    Cause("target_broadcast", "Outputs and targets broadcast", _SEVERE, "head"),
    Cause("nll_without_log_softmax", "A likelihood loss without a log-softmax", _GRAVE, "head"),
    Cause("softmax_before_cross_entropy", "A softmax before cross entropy", _SEVERE, "head", structural=True),
    Cause("log_softmax_before_cross_entropy", "A log-softmax before cross entropy", _INFO, "head", structural=True),
    Cause("sigmoid_before_cross_entropy", "A sigmoid before cross entropy", _SEVERE, "head", structural=True),
    Cause("tanh_before_cross_entropy", "A tanh before cross entropy", _SEVERE, "head", structural=True),
    Cause("sigmoid_before_bce_with_logits", "A sigmoid before a loss of logits", _SEVERE, "head", structural=True),
    Cause("tanh_before_bce_with_logits", "A tanh before a loss of logits", _SEVERE, "head", structural=True),
    Cause("softmax_over_wrong_dim", "A softmax over the wrong dim", _SEVERE, "head"),
    Cause("nonnegative_logits", "Logits that cannot be negative", _GRAVE, "head", structural=True),
    Cause("target_outside_head", "Targets outside the range of the head", _SEVERE, "head", structural=True),
    Cause("constant_predictions", "The same output for every input", _WARNING, "head"),
    Cause("bounded_head", "A bounded head in a regression", _INFO, "head"),
    Cause("loss_fails", "The loss raises an error", _SEVERE, ""),
    Cause("no_gradient", "No gradient flows from the loss", _SEVERE, ""),
    Cause("optimizer_fails", "The optimizer raises an error", _STATE, ""),
    Cause("symmetric_units", "Units that are copies of each other", _GRAVE, "symmetry"),
    Cause("no_gradient_reaches", "Weights without a gradient", _GRAVE, "reach"),
    Cause("constraint_too_tight", "A constraint is too tight", _GRAVE, "tight_constraint"),
    Cause("summed_loss", "The loss is a sum over the batch", _ALL, "summed"),
    Cause("rate_too_small", "The learning rate is too small", _GRAVE, "rate"),
    Cause("input_offset", "The offset of the inputs", _ALL, "input_scale"),
    Cause("diverges", "Training diverges", _SEVERE, "rate"),
    Cause("rate_too_large", "The learning rate is too large", _GRAVE, "rate"),
    Cause("first_step_too_large", "The first step is too large", _SEVERE, "rate"),
    Cause("momentum_too_high", "Momentum over too many steps", _WARNING, "rate"),
    Cause("rate_scheduled", "The learning rate is on a schedule", _INFO, "rate"),
    Cause("collapse", "The penalty collapses weights", _SEVERE, "too_strong"),
    Cause("penalty_dominates", "The penalty is strong", _ALL, "too_strong"),
    Cause("bias_penalised", "Biases are penalised", _MILD, "scope", structural=True),
    Cause("norm_penalised", "Norm weights are penalised", _MILD, "scope", structural=True),
    Cause("decay_twice", "Weights decay twice", _WARNING, "scope", structural=True),
    Cause("dropout_leaves_few_units", "Dropout leaves few units", _GRAVE, "dropout"),
    Cause("dropout_too_strong", "Dropout is too strong", _GRAVE, "dropout"),
    Cause("dropout_before_batch_norm", "Dropout before a batch norm", _ALL, "dropout"),
    Cause("random_in_evaluation", "Evaluation is random", _WARNING, "dropout"),
    Cause("other_inputs_in_evaluation", "Evaluation sees other inputs", _GRAVE, "evaluation"),
    Cause("dead_relus", "ReLUs are dead", _ALL, "dead_units"),
    Cause("saturated_sigmoids", "Sigmoids are saturated", _GRAVE, "dead_units"),
    Cause("eval_left_on", "Layers that stay in evaluation mode", _WARNING, "normalization"),
    Cause("batch_of_one", "Batch norm on a batch of one", _SEVERE, "normalization", prevents_steps=True),
    Cause("small_batch_norm", "Batch norm on small batches", _WARNING, "normalization"),
    Cause("norm_idle", "A batch norm with little to do", _MILD, "normalization"),
    Cause("scale_hidden_by_norm", "A norm hides the scale of weights", _INFO, "normalization"),
    Cause("bias_before_norm", "A bias before a norm does nothing", _INFO, "normalization"),
    Cause("loss_scale_at_floor", "A loss scale at its floor", _SEVERE, "along"),
    Cause("always_clipped", "Every step is clipped", _MILD, "along"),
    Cause("loss_at_chance", "The loss is at chance level", _INFO, "head"),
    Cause("measurement_failed", "A measurement failed", _INFO, ""),
    Cause("outputs_together", "Outputs under one loss", _INFO, ""),
    Cause("optimizer_not_watched", "The optimizer was not watched", _INFO, ""),
    Cause("validation_leak", "Validation samples are trained on", _GRAVE, "validation"),
    Cause("validation_noise", "Few validation samples", _MILD, "validation"),
    Cause("never_left_chance", "Training never left chance", _SEVERE, "history"),
    Cause("overfitting", "Overfitting", _MILD, "history"),
    Cause("underfitting", "Underfitting", _WARNING, "history"),
    Cause("batch_norm_lag", "Running statistics lag behind", _WARNING, "history"),
    Cause("still_improving", "Training stopped too early", _MILD, "history"),
    Cause("validation_better", "Validation is better than training", _INFO, "history"),
    Cause("rate_step", "A lower rate set training free", _INFO, "history"),
    Cause("plateau", "A plateau", _INFO, "history"),
    Cause("best_by_luck", "The best epoch is luck", _INFO, "history"),
    Cause("history_incomplete", "A short or partial history", _INFO, "history"),
)
SUBJECTS = {
    "trainable": "the weights",
    "constant_loss": "the loss",
    "input_scale": "inputs",
    "labels": "labels",
    "loss_form": "the loss on these targets",
    "probabilities": "the loss of probabilities",
    "sign": "the sign of the loss",
    "start": "the loss before the first step",
    "depth": "the layers in between",
    "order": "the order of the samples",
    "mixed_samples": "what other samples do to an output",
    "head": "the head and its loss",
    "symmetry": "initial weights",
    "reach": "gradients",
    "tight_constraint": "constraints",
    "summed": "the reduction of the loss",
    "rate": "the learning rate",
    "too_strong": "the penalty's share of loss and gradient",
    "scope": "the penalised weights",
    "dropout": "dropout",
    "evaluation": "inputs in evaluation",
    "dead_units": "activations",
    "normalization": "batch norm",
    "validation": "the validation split",
}
"""What each measurement examines."""
CAUSES = {cause.name: cause for cause in _TABLE}
"""Causes by identifier."""
_GROUPS = [(measurement, list(causes)) for measurement, causes in groupby(_TABLE, lambda cause: cause.measurement)]
_RANKS = {cause.name: rank for rank, (_, causes) in enumerate(_GROUPS) for cause in causes}

_BLOCKING = [cause.measurement for cause in _TABLE if cause.prevents_steps]
_OF_A_NET = [cause.measurement for cause in _TABLE if cause.measurement not in ("", "validation", "history", "along")]
MEASUREMENTS = tuple(dict.fromkeys([*_BLOCKING, *_OF_A_NET]))
"""The measurements in the order they run; those that can find training impossible come first."""
_EXAMINED = list(SUBJECTS.values())
EXAMINED = f"{', '.join(_EXAMINED[:-1])}, and {_EXAMINED[-1]}"
"""A list of everything examined, for sentences."""


def title_of(cause: str) -> str:
    """The title of a cause; the identifier in words if another version wrote it."""
    return CAUSES[cause].title if cause in CAUSES else cause.replace("_", " ").capitalize()


def precedence(severity: str, cause: str) -> tuple[int, int]:
    """Sort key of findings: most severe first, then cause before consequence; unknown severities and causes last."""
    severities: tuple[str, ...] = SEVERITIES
    rank = severities.index(severity) if severity in severities else len(severities)
    return rank, _RANKS.get(cause, len(_TABLE))
