"""Writes files of Keras 2.14 and what Keras goes on to do with their nets; test_keras2_files.py reads them.

TensorFlow 2.14.1 needs an environment of its own.

cd tests/parity; python record_keras2_files.py keras-2.14-files
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def mlp(keras: Any) -> Any:
    k = keras.layers
    first = k.Dense(5, activation="relu", kernel_regularizer="l2", name="z/first")
    return keras.Sequential([k.Input((4,)), first, k.BatchNormalization(), k.Dropout(0.0), k.Dense(3, name="a")])


def cnn(keras: Any) -> Any:
    k = keras.layers
    x = start = k.Input((6, 6, 2))
    x = k.SeparableConv2D(3, 2, name="b")(k.Conv2D(3, 2, activation="tanh", kernel_constraint="non_neg", name="c")(x))
    x = k.Flatten()(k.BatchNormalization(scale=False)(k.Conv2DTranspose(2, 2, strides=2)(x)))
    return keras.Model(start, k.Dense(2)(x))


def nested(keras: Any) -> Any:
    """Weights that do not train lie between those that do, and the inner net is called twice."""
    k = keras.layers
    inner = keras.Sequential([k.Input((4,)), k.Dense(4), k.BatchNormalization(), k.Dense(4, activation="tanh")])
    inner.layers[0].trainable = False
    a, b = k.Input((4,)), k.Input((4,))
    x = k.Concatenate()([inner(a), inner(b)])
    return keras.Model([a, b], [k.Dense(2)(x), k.Dense(1)(k.LayerNormalization()(x))])


def words(keras: Any) -> Any:
    k = keras.layers
    layers = [k.Input((7,)), k.Embedding(9, 4), k.Conv1D(3, 2, padding="causal"), k.GlobalMaxPooling1D(), k.Dense(2)]
    return keras.Sequential(layers)


# Keras 2 rounds Python's floats to float32, NumPy's not.
CASES: dict[str, tuple[Callable[[Any], Any], str, dict[str, Any]]] = {
    "mlp": (mlp, "Adam", {"beta_1": np.float64(0.9), "beta_2": np.float64(0.999), "amsgrad": True}),
    "cnn": (cnn, "SGD", {"momentum": np.float64(0.9)}),
    "nested": (nested, "RMSprop", {"rho": np.float64(0.9), "centered": True, "momentum": 0.5}),
    "words": (words, "legacy.Adam", {"learning_rate": 0.01}),
}


def record(keras: Any, name: str, folder: Path) -> None:
    make, optimizer, settings = CASES[name]
    keras.utils.set_random_seed(0)
    model = make(keras)
    kind: Any = keras.optimizers
    for part in optimizer.split("."):
        kind = getattr(kind, part)
    model.compile(kind(**settings), "mse")
    rng = np.random.default_rng(0)
    whole = name == "words"
    x = [
        rng.integers(0, 9, (8, *i.shape[1:])) if whole else rng.standard_normal((8, *i.shape[1:])) for i in model.inputs
    ]
    y = [rng.standard_normal((8, *o.shape[1:])) for o in model.outputs]
    for _ in range(2):
        model.train_on_batch(x, y)
    model.save(folder / f"{name}.keras")
    model.save(folder / f"{name}.h5")
    if name == "nested":
        model.save_weights(folder / f"{name}-weights.h5")
        model.save_weights(folder / f"{name}.weights.h5")
    arrays = {f"x{i}": a for i, a in enumerate(x)} | {f"y{i}": a for i, a in enumerate(y)}
    arrays |= {f"start{i}": a for i, a in enumerate(model.get_weights())}
    outputs = model(x, training=False)
    arrays |= {f"out{i}": a.numpy() for i, a in enumerate(outputs if isinstance(outputs, list) else [outputs])}
    for _ in range(2):
        model.train_on_batch(x, y)
    arrays |= {f"end{i}": a for i, a in enumerate(model.get_weights())}
    np.savez_compressed(folder / f"{name}.npz", **arrays)


if __name__ == "__main__":
    tensorflow = importlib.import_module("tensorflow")
    tensorflow.keras.backend.set_floatx("float64")
    target = Path(sys.argv[1])
    target.mkdir(exist_ok=True)
    for case in CASES:
        record(tensorflow.keras, case, target)
