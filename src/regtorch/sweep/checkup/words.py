"""Causes in words."""

from __future__ import annotations

__all__ = ["in_words"]

# Of the identifiers that do not say it themselves.
_TITLES = {
    "bias_before_norm": "A bias before a norm does nothing",
    "bias_penalised": "Biases are penalised",
    "collapse": "The penalty empties weights",
    "constant_loss": "The loss is constant",
    "dead_relus": "ReLUs are dead",
    "decay_twice": "Weights decay twice",
    "diverges": "Training diverges",
    "first_step_too_large": "The first step is too large",
    "input_not_finite": "Inputs are not finite",
    "input_scale": "The inputs' scale",
    "labels_unrelated": "Labels unrelated to the inputs",
    "loss_at_chance": "The loss is what guessing gives",
    "nonnegative_logits": "Logits that cannot be negative",
    "no_gradient_reaches": "Weights that no gradient reaches",
    "measurement_failed": "A measurement failed",
    "norm_idle": "A batch norm with little to do",
    "norm_penalised": "Norm weights are penalised",
    "one_class": "All labels are of one class",
    "optimizer_not_watched": "The optimizer was not watched",
    "penalty_dominates": "The penalty is strong",
    "rate_scheduled": "The learning rate is on a schedule",
    "rate_too_large": "The learning rate is too large",
    "rate_too_small": "The learning rate moves nothing",
    "saturated_sigmoids": "Sigmoids are saturated",
    "scale_hidden_by_norm": "A norm hides the scale of penalised weights",
    "softmax_before_cross_entropy": "A softmax before cross entropy",
    "summed_loss": "The loss is a sum over the batch",
    "target_outside_head": "Targets outside the head's range",
    "validation_leak": "Validation samples are trained on",
    "validation_noise": "Few validation samples",
}


def in_words(cause: str) -> str:
    """A cause's identifier as a title."""
    return _TITLES.get(cause) or cause.replace("_", " ").capitalize()
