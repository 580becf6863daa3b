"""Keras 2.14's optimizers, with its update rules and defaults under torch's argument names."""

from regtorch.keras.optimizers.adagrad import Adadelta, Adagrad
from regtorch.keras.optimizers.adam import Adam, AdamW
from regtorch.keras.optimizers.config import optimizer
from regtorch.keras.optimizers.keras_optimizer import KerasOptimizer
from regtorch.keras.optimizers.nadam import Adamax, Nadam
from regtorch.keras.optimizers.rmsprop import RMSprop
from regtorch.keras.optimizers.sgd import SGD
from regtorch.steps.optimizers import register_optimizer

__all__ = ["SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "KerasOptimizer", "Nadam", "RMSprop", "optimizer"]

for _kind in (SGD, Adam, AdamW, RMSprop, Adagrad, Adadelta, Nadam, Adamax):
    register_optimizer(_kind, _kind.step_size, elementwise=True, one_step_size=_kind is SGD)
