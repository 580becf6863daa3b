"""Classes of one's own in live Keras's JSON and objects, and calls of its operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from comparing import Compare
from torch import nn

import keras
import regtorch as rt

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's
L, ops = keras.layers, keras.ops


class Dense(L.Dense):
    """Gives twice what Keras's gives."""

    def call(self, inputs: Any, training: Any = None) -> Any:
        return 2 * super().call(inputs, training=training)


class L2(keras.regularizers.L2):
    """Another formula."""

    def __call__(self, x: Any) -> Any:
        return ops.sum(ops.abs(x)) ** 2


class Zeros(keras.initializers.Zeros):
    """Not zeros."""


class NonNeg(keras.constraints.NonNeg):
    """Not Keras's."""


class Adam(keras.optimizers.Adam):
    """Not Keras's."""


class Sequential(keras.Sequential):
    """Not Keras's."""


class Net(keras.Model):
    """A functional net with a `call` of its own."""

    def call(self, *args: Any, **kwargs: Any) -> Any:
        return 2 * super().call(*args, **kwargs)


def of(*layers: Any) -> Any:
    return keras.Sequential([keras.Input((4,)), *layers])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: of(Dense(3)), r"layer 'dense\w*' \(Dense\) is of a user-defined class"),
        (lambda: of(L.Dense(3, kernel_regularizer=L2(0.1))), "penalty: 'L2' is a user-defined class"),
        (lambda: of(L.Dense(3, activity_regularizer=L2(0.1))), "penalty: 'L2' is a user-defined class"),
        (lambda: of(L.Dense(3, kernel_initializer=Zeros())), "initializer: 'Zeros' is a user-defined class"),
        (lambda: of(L.Dense(3, kernel_constraint=NonNeg())), "constraint: 'NonNeg' is a user-defined class"),
        (lambda: of(Sequential([keras.Input((4,)), L.Dense(3)])), r"\(Sequential\) is of a user-defined class"),
        (lambda: Sequential([keras.Input((4,)), L.Dense(3)]), "is of a user-defined class 'Sequential'"),
        (lambda: functional(L.Dense(3), Net), "is of a user-defined class 'Net'"),
        (lambda: functional(lambda x: ops.bincount(ops.cast(x, "int32"))), r"\(keras.ops' Bincount\) is not supported"),
    ],
)
def test_what_is_not_kerass_own_layer_is_refused(model: Callable[[], Any], message: str):
    with pytest.raises(ValueError, match=message):
        rt.keras.from_config(model().to_json())


def functional(function: Callable[[Any], Any], kind: Any = keras.Model) -> Any:
    x = keras.Input((4,))
    return kind(x, function(x))


def test_objects_of_ones_own_classes():
    for make, thing in ((rt.keras.penalty, L2(0.1)), (rt.keras.constraint, NonNeg())):
        with pytest.raises(ValueError, match="is a user-defined class, which is not supported"):
            make(thing)
    with pytest.raises(ValueError, match="optimizer: 'Adam' is a user-defined class"):
        rt.keras.optimizer(Adam(), [nn.Parameter(torch.ones(1))])
    assert rt.keras.penalty(keras.regularizers.L2(0.1)) == rt.L2(0.1)


OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "maximum": ops.maximum,
    "minimum": ops.minimum,
    "concatenate": lambda x, y: ops.concatenate([x, y]),
    "concatenate 1": lambda x, y: ops.concatenate([x, y], axis=1),
    "softmax": lambda x, y: ops.softmax(x),
    "softmax 1": lambda x, y: ops.softmax(x, axis=1),
}


@pytest.mark.parity("keras.ops: values", "Keras 3 (torch), float64")
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("shape", [(4,), (4, 3), (4, 3, 2)])
def test_operations(name: str, shape: tuple[int, ...], compare: Compare, floatx: Callable[[str], None]):
    floatx("float64")
    inputs = [keras.Input(shape), keras.Input(shape)]
    theirs = keras.Model(inputs, [OPERATIONS[name](*inputs), *inputs])
    ours, _ = rt.keras.from_config(theirs.to_json())
    random = np.random.default_rng(0)
    x = [torch.from_numpy(random.standard_normal((5, *shape))) for _ in inputs]
    expected = theirs(x)[0]
    found = ours(*(a.movedim(-1, 1) if a.ndim >= 4 else a for a in x))[0]
    compare(found.movedim(1, -1) if found.ndim >= 4 else found, expected, within=1e-12)
