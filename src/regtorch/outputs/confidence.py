"""The penalty of confident predictions."""

from __future__ import annotations

from torch import Tensor

from regtorch.outputs.output_rule import OutputPenalty, check_outputs, log_probabilities, per_sample
from regtorch.penalties.base import zero
from regtorch.shapes import Float

__all__ = ["ConfidencePenalty"]


class ConfidencePenalty(OutputPenalty):
    """−λ H(p), p the softmax of logits and H(p) = −Σ_c p_c log p_c, mean over the batch.

    It lies between −λ log(classes), for uniform predictions, and 0, for certain ones. One logit per sample means two
    classes, as in `binary_cross_entropy_with_logits`. A logit of −∞ excludes its class.

    Args:
        lam: the strength λ, in units of loss per nat; 0.1 in most of the paper's experiments.

    Raises:
        TypeError: `lam` is not a number, or the logits are not a real floating-point tensor.
        ValueError: `lam` is negative, infinite or NaN, or the logits have no class dim.

    Source: Pereyra et al. 2017, "Regularizing Neural Networks by Penalizing Confident Output Distributions".

    Example:
        >>> import torch, regtorch as rt
        >>> rt.ConfidencePenalty(0.1)(torch.zeros(8, 10))
        tensor(-0.2303)
    """

    lam: float = 0.01

    def __call__(self, output: Float[Tensor, "batch classes *rest"]) -> Float[Tensor, ""]:
        """The value for logits with classes in dim 1; further dims count as samples. Exactly 0 at strength 0."""
        if not self.active:
            return zero(check_outputs(self.name, "logits", output, least=2))
        log_p = log_probabilities(self.name, "logits", output)
        return self.lam * per_sample((log_p.exp() * log_p).sum(1), output)
