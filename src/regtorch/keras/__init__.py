"""Keras in PyTorch: its identifiers, configs, weights, nets, optimizers and batch norm, with the same numbers."""

from regtorch.init import keras_init_ as init_
from regtorch.keras import losses
from regtorch.keras.batch_norm import BatchNorm
from regtorch.keras.build import from_config
from regtorch.keras.files import Loaded, load, load_weights, save
from regtorch.keras.identifiers import constraint, penalty, serialize
from regtorch.keras.losses.config import loss
from regtorch.keras.metrics import metric
from regtorch.keras.module import regularized_module
from regtorch.keras.net_variables import get_weights
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
    "Loaded",
    "Muon",
    "Nadam",
    "RMSprop",
    "constraint",
    "from_config",
    "get_weights",
    "init_",
    "load",
    "load_weights",
    "loss",
    "losses",
    "metric",
    "optimizer",
    "penalty",
    "regularized_module",
    "save",
    "serialize",
]
