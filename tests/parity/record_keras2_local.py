"""Records runs of Keras 2.14's locally connected layers, which test_recorded.py repeats.

python tests/parity/record_keras2_local.py tests/parity/keras-2.14-local.json
"""

from __future__ import annotations

import sys
from typing import Any

from record_keras2 import Net, write


def local(k: Any, r: Any, c: Any, x: Any) -> Any:
    """Each way to keep the kernel, on images."""
    x = k.LocallyConnected2D(3, (2, 3), strides=(1, 2), activation="tanh", kernel_regularizer=r.L2(0.01))(x)
    rules = {"kernel_regularizer": r.L1(1e-3), "bias_regularizer": r.L2(0.01)}
    x = k.LocallyConnected2D(2, (2, 3), implementation=2, **rules, kernel_constraint=c.MaxNorm(0.9, axis=[0, 1, 2]))(x)
    x = k.LocallyConnected2D(3, (3, 2), padding="same", implementation=2, kernel_regularizer=r.L2(0.01))(x)
    x = k.LocallyConnected2D(2, (2, 1), padding="same", strides=(2, 1), implementation=3, activation="relu", **rules)(x)
    x = k.LocallyConnected2D(2, (2, 1), implementation=3, use_bias=False, kernel_constraint=c.NonNeg())(x)
    return k.Dense(2)(k.Flatten()(x))


def steps(k: Any, r: Any, c: Any, x: Any) -> Any:
    """Each way to keep the kernel, on sequences."""
    x = k.LocallyConnected1D(4, 3, strides=2, kernel_constraint=c.MaxNorm(0.9), bias_regularizer=r.L2(0.1))(x)
    x = k.LocallyConnected1D(3, 4, padding="same", implementation=2, kernel_regularizer=r.L2(0.01))(x)
    x = k.LocallyConnected1D(3, 2, padding="same", strides=2, implementation=3, kernel_regularizer=r.L1(0.01))(x)
    x = k.LocallyConnected1D(2, 2, implementation=3, activation="softmax")(x)
    return k.Dense(2)(k.Flatten()(x))


CASES: dict[str, tuple[Net, tuple[int, ...], str, str, dict[str, Any]]] = {
    "local/sgd_momentum": (local, (6, 8, 2), "mse", "SGD", {"momentum": 0.9}),
    "steps/adam": (steps, (15, 2), "mse", "Adam", {}),
}


if __name__ == "__main__":
    write(sys.argv[1], CASES)
