"""Penalties of a network's outputs for a batch, which depend on the data: each is called in the loss.

Their values are per batch already: a mean over it, or a function of such means.
"""

from regtorch.outputs import confidence, input_gradients, kl_sparsity, rdrop
from regtorch.outputs.confidence import *
from regtorch.outputs.input_gradients import *
from regtorch.outputs.kl_sparsity import *
from regtorch.outputs.output_rule import OutputPenalty, OutputRule
from regtorch.outputs.rdrop import *

__all__ = ["OutputPenalty", "OutputRule"]
__all__ += confidence.__all__
__all__ += input_gradients.__all__
__all__ += kl_sparsity.__all__
__all__ += rdrop.__all__
