"""Keras in PyTorch: its identifiers, configs, weights, nets, optimizers and batch norm, with the same numbers."""

from regtorch.init import keras_init_ as init_
from regtorch.keras import losses
from regtorch.keras.batch_norm import BatchNorm
from regtorch.keras.build import from_config
from regtorch.keras.identifiers import constraint, penalty, serialize
from regtorch.keras.load import get_weights, load_weights
from regtorch.keras.losses.config import loss
from regtorch.keras.metrics import metric
from regtorch.keras.module import regularized_module
from regtorch.keras.optimizers import (
    SGD,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Ftrl,
    KerasOptimizer,
    Lamb,
    Lion,
    Muon,
    Nadam,
    RMSprop,
    optimizer,
)

__all__ = [
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "BatchNorm",
    "Ftrl",
    "KerasOptimizer",
    "Lamb",
    "Lion",
    "Muon",
    "Nadam",
    "RMSprop",
    "constraint",
    "from_config",
    "get_weights",
    "init_",
    "load_weights",
    "loss",
    "losses",
    "metric",
    "optimizer",
    "penalty",
    "regularized_module",
    "serialize",
]
