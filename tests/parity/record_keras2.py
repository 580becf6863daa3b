"""Records runs of Keras 2.14, which test_recorded.py repeats. TensorFlow 2.14.1 needs an environment of its own.

python tests/parity/record_keras2.py tests/parity/keras-2.14-layers.json
"""

from __future__ import annotations

import importlib
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from keras2_data import batch, weights

Net = Callable[[Any, Any, Any, Any], list[Any]]  # layers, regularizers, constraints, inputs -> outputs


def deep(k: Any, r: Any, c: Any, x: Any) -> Any:
    """Two blocks of the deep CIFAR net, narrow."""
    for width in (4, 6):
        for _ in range(2):
            x = k.Conv2D(width, 3, padding="same", activation="relu", kernel_regularizer=r.L1L2(1e-3, 1e-2))(x)
            x = k.BatchNormalization()(x)
        x = k.MaxPooling2D()(x)
        x = k.Dropout(0.0)(x)
    x = k.Dense(16, activation="relu", kernel_regularizer=r.L2(0.01), kernel_constraint=c.MaxNorm(1.5))(k.Flatten()(x))
    return k.Dense(4, activation="softmax")(k.BatchNormalization(scale=False)(x))


def strided(k: Any, r: Any, c: Any, x: Any) -> Any:
    """Same padding with strides, depthwise and separable kernels, a constraint on each, an average pool."""
    x = k.Conv2D(4, 3, strides=2, padding="same", kernel_constraint=c.MaxNorm(0.9, axis=[0, 1, 2]))(x)
    x = k.LeakyReLU(0.1)(x)
    x = k.DepthwiseConv2D(3, depth_multiplier=2, padding="same", depthwise_constraint=c.UnitNorm(axis=[0, 1]))(x)
    x = k.SeparableConv2D(5, 2, activation="elu", pointwise_regularizer=r.L1(1e-3), bias_regularizer=r.L2(0.1))(x)
    x = k.AveragePooling2D(2, padding="same")(k.BatchNormalization(center=False)(x))
    return k.Dense(3, activation="softmax", kernel_constraint=c.NonNeg())(k.GlobalMaxPooling2D()(x))


def branches(k: Any, r: Any, c: Any, x: Any) -> Any:
    """A residual net with a shared layer, a sigmoid head, and penalties of outputs."""
    shared = k.Dense(8, activation="tanh", kernel_regularizer=r.OrthogonalRegularizer(0.05, mode="rows"))
    a = k.Dense(8, activation="relu", activity_regularizer=r.L1(1e-3))(x)
    b = k.Dense(8, kernel_constraint=c.MinMaxNorm(0.5, 1.0, rate=0.5), bias_constraint=c.NonNeg())(x)
    x = k.Concatenate()([shared(k.Add()([a, b])), shared(k.Multiply()([a, b]))])
    x = k.ActivityRegularization(l1=1e-4, l2=1e-3)(k.LayerNormalization()(x))
    return k.Dense(1, activation="sigmoid")(x)


def sequence(k: Any, r: Any, c: Any, x: Any) -> Any:
    """Convolutions over steps."""
    x = k.Conv1D(6, 3, padding="causal", dilation_rate=2, activation="swish", kernel_regularizer=r.L2(0.01))(x)
    x = k.BatchNormalization(gamma_regularizer=r.L2(0.01), gamma_constraint=c.MaxNorm(2.0))(x)
    x = k.Conv1D(4, 4, strides=2, padding="same", activation="hard_sigmoid")(k.MaxPooling1D(2, padding="same")(x))
    return k.Dense(2, kernel_regularizer=r.OrthogonalRegularizer(0.05, mode="columns"))(k.Flatten()(x))


def nested(k: Any, r: Any, c: Any, x: Any) -> Any:
    """A net within the net, called twice; a transposed convolution; constants that Keras 2 keeps in float32."""
    start = k.Input((6, 6, 2))
    inner = k.Conv2DTranspose(2, 3, strides=2, padding="same", activation="gelu", kernel_regularizer=r.L2(0.01))(start)
    inner = importlib.import_module("tensorflow").keras.Model(start, k.BatchNormalization()(inner))
    a = k.Rescaling(0.1, offset=-0.3)(inner(x))
    b = k.Conv2D(2, 3, activation="selu")(k.ZeroPadding2D(4)(inner(k.Activation("tanh")(x), training=False)))
    return k.Dense(2)(k.Flatten()(k.Concatenate()([a, k.Cropping2D(3)(b)])))


CASES: dict[str, tuple[Net, tuple[int, ...], str, str, dict[str, Any]]] = {
    "deep/adam": (deep, (12, 10, 3), "categorical_crossentropy", "Adam", {}),
    "deep/sgd_momentum": (
        *(deep, (12, 10, 3), "categorical_crossentropy", "SGD"),
        {"learning_rate": 1e-4, "momentum": 0.9},
    ),
    "strided/rmsprop_centered": (
        *(strided, (11, 9, 2), "categorical_crossentropy", "RMSprop"),
        {"centered": True, "momentum": 0.5},
    ),
    "strided/sgd": (strided, (11, 9, 2), "categorical_crossentropy", "SGD", {"learning_rate": 0.1}),
    "branches/adamax": (branches, (7,), "binary_crossentropy", "Adamax", {}),
    "branches/adagrad": (branches, (7,), "binary_crossentropy", "Adagrad", {"learning_rate": 0.05}),
    "branches/adamw": (branches, (7,), "binary_crossentropy", "AdamW", {"weight_decay": 0.1}),
    "sequence/nesterov": (sequence, (13, 3), "mse", "SGD", {"momentum": 0.9, "nesterov": True}),
    "nested/adam_beta1_0": (nested, (6, 6, 2), "mse", "Adam", {"beta_1": 0.0}),
    "sequence/adadelta": (sequence, (13, 3), "mse", "Adadelta", {"learning_rate": 1.0}),
}


def penalties(model: Any) -> list[Any]:
    """Those of weights; a shared layer once."""
    found = []
    for layer in {id(layer): layer for layer in model._flatten_layers(include_self=False)}.values():
        for name in ("kernel", "recurrent", "bias", "depthwise", "pointwise", "gamma", "beta"):
            regularizer = getattr(layer, f"{name}_regularizer", None)
            whole = name if name in ("kernel", "bias", "gamma", "beta") else f"{name}_kernel"
            weight = getattr(layer, whole, None)  # a recurrent layer has its cell's regularizers, and no weights
            found += [regularizer(weight)] if regularizer is not None and weight is not None else []
    return found


def record(keras: Any, case: tuple[Net, tuple[int, ...], str, str, dict[str, Any]], steps: int = 25) -> dict[str, Any]:
    net, shape, loss, rule, settings = case
    keras.backend.set_floatx("float64")
    keras.backend.clear_session()
    x = keras.Input(shape)
    model = keras.Model(x, net(keras.layers, keras.regularizers, keras.constraints, x))
    # Keras 2.14 rounds some settings through float32 when they are Python's floats.
    if rule in ("Adam", "AdamW", "Nadam", "Adamax"):
        settings = {"beta_1": 0.9, "beta_2": 0.999, **settings}
    settings = {k: np.float64(v) if type(v) is float else v for k, v in settings.items()}
    model.compile(getattr(keras.optimizers, rule)(**settings), loss)
    result: dict[str, Any] = {
        "optimizer": {
            k: float(v) if isinstance(v, np.floating) else v for k, v in model.optimizer.get_config().items()
        },
        "loss": loss,
        "batch_size": 8,
        "steps": steps,
        "weights": [[w.name.split("/")[-1].split(":")[0], list(w.shape)] for w in model.weights],
        "weight_seed": 7,
        "batch_seed0": 1000,
        "eval_batch_seed": 999,
        "model_json": json.loads(model.to_json()),
    }
    model.set_weights(weights(result))
    outputs = model.output_shape[-1]
    classes = loss == "categorical_crossentropy"
    result |= {"total_loss": [], "penalty": []}

    def data(seed: int) -> tuple[Any, Any]:
        x, y = batch(result, seed, shape, outputs)
        return x, np.eye(outputs)[y] if classes else y

    for i in range(steps):
        x, y = data(1000 + i)
        result["penalty"].append(float(sum(penalties(model))))
        result["total_loss"].append(float(model.train_on_batch(x, y)))
    x, y = data(999)
    result["eval_total_loss"] = float(model.test_on_batch(x, y))
    result["final_sum_and_norm"] = [[float(w.sum()), float(np.linalg.norm(w))] for w in model.get_weights()]
    assert all(math.isfinite(v) for v in result["total_loss"])
    return result


def write(path: str, cases: dict[str, tuple[Net, tuple[int, ...], str, str, dict[str, Any]]]) -> None:
    keras = importlib.import_module("tensorflow").keras
    runs = {name: record(keras, case) for name, case in cases.items()}
    Path(path).write_text(json.dumps(runs, separators=(",", ":")))


if __name__ == "__main__":
    write(sys.argv[1], CASES)
