"""Keras's losses as torch modules, with its clipping, reductions, sample weights and masks."""

from regtorch.keras.losses.binary import BinaryCrossentropy, BinaryFocalCrossentropy, KLDivergence, Poisson
from regtorch.keras.losses.categorical import (
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalGeneralizedCrossEntropy,
    SparseCategoricalCrossentropy,
)
from regtorch.keras.losses.config import SeveralLosses
from regtorch.keras.losses.hinge import CategoricalHinge, Hinge, SquaredHinge
from regtorch.keras.losses.loss import Loss
from regtorch.keras.losses.overlap import Dice, Tversky
from regtorch.keras.losses.regression import (
    CosineSimilarity,
    Huber,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
)
from regtorch.keras.losses.similarity import CTC, Circle
from regtorch.keras.losses.weights import class_weights

__all__ = [
    "CTC",
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "CategoricalGeneralizedCrossEntropy",
    "CategoricalHinge",
    "Circle",
    "CosineSimilarity",
    "Dice",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "SeveralLosses",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "Tversky",
    "class_weights",
]
