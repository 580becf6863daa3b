"""Penalties of what a net puts out for a batch, which depend on the data: each is called in the loss.

A number of theirs is of the whole batch already (a mean over it, or a function of such means).
"""

from regtorch.outputs.base import OutputPenalty, OutputRule
from regtorch.outputs.confidence import ConfidencePenalty
from regtorch.outputs.input_gradients import GradientPenalty, InputPenalty, JacobianPenalty
from regtorch.outputs.kl_sparsity import KLSparsity
from regtorch.outputs.rdrop import RDrop

__all__ = [
    "ConfidencePenalty",
    "GradientPenalty",
    "InputPenalty",
    "JacobianPenalty",
    "KLSparsity",
    "OutputPenalty",
    "OutputRule",
    "RDrop",
]
