"""Keras's losses as torch modules, with its clipping, reductions, sample weights and masks."""

from regtorch.keras.losses import binary, categorical, hinge, overlap, regression, similarity
from regtorch.keras.losses.binary import *
from regtorch.keras.losses.categorical import *
from regtorch.keras.losses.hinge import *
from regtorch.keras.losses.loss import CrossEntropy, Loss
from regtorch.keras.losses.overlap import *
from regtorch.keras.losses.regression import *
from regtorch.keras.losses.several import SeveralLosses
from regtorch.keras.losses.similarity import *
from regtorch.keras.losses.weights import class_weights

__all__ = ["CrossEntropy", "Loss", "SeveralLosses", "class_weights"]
__all__ += binary.__all__
__all__ += categorical.__all__
__all__ += hinge.__all__
__all__ += overlap.__all__
__all__ += regression.__all__
__all__ += similarity.__all__
