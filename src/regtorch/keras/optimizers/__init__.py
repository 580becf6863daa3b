"""Keras's optimizers, with its update rules and defaults under torch's argument names."""

from collections.abc import Callable
from typing import Any

from regtorch.keras.optimizers.adafactor import Adafactor
from regtorch.keras.optimizers.adagrad import Adadelta, Adagrad
from regtorch.keras.optimizers.adam import Adam, AdamW
from regtorch.keras.optimizers.config import optimizer
from regtorch.keras.optimizers.ftrl import Ftrl
from regtorch.keras.optimizers.keras_optimizer import KerasOptimizer
from regtorch.keras.optimizers.lamb import Lamb
from regtorch.keras.optimizers.lion import Lion
from regtorch.keras.optimizers.muon import Muon
from regtorch.keras.optimizers.nadam import Adamax, Nadam
from regtorch.keras.optimizers.rmsprop import RMSprop
from regtorch.keras.optimizers.sgd import SGD
from regtorch.steps.optimizers import Step, register_optimizer

__all__ = [
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "KerasOptimizer",
    "Lamb",
    "Lion",
    "Muon",
    "Nadam",
    "RMSprop",
    "optimizer",
]


def _at_updates(step_size: Callable[[dict[str, Any], dict[str, Any]], Step]) -> Any:
    """The step size of a step that made no update is 0."""
    return lambda group, state: step_size(group, state) if group["updated"] and "step" in state else 0.0


for _kind in (SGD, Adam, AdamW, RMSprop, Adagrad, Adadelta, Nadam, Adamax):
    register_optimizer(_kind, _at_updates(_kind.step_size), elementwise=True, one_step_size=_kind is SGD)
for _kind in (Lion, Ftrl):
    register_optimizer(_kind, elementwise=True)
for _kind in (Adafactor, Lamb, Muon):
    register_optimizer(_kind)
