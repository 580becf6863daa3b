"""Records TensorFlow's functions in a net of Keras 2.14, which test_keras_operations.py repeats.

TensorFlow 2.14.1 needs an environment of its own: python tests/parity/record_keras2_operations.py
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np


def outputs(tf: Any, x: Any) -> list[Any]:
    """One output for each kind of function."""
    y = tf.concat([x, 2.0 * x - (x + 1.5)], axis=-1)
    v = tf.nn.relu(tf.reshape(y, (-1, 6, 4))[:, 0]) / 255.0
    return [
        y[..., 1:2, tf.newaxis],
        y[:, -1],
        tf.reduce_mean(y, axis=1, keepdims=True),
        tf.reduce_max(v, axis=-1),
        tf.squeeze(tf.expand_dims(v, 1), axis=1),
        tf.matmul(y, tf.transpose(y, (0, 1, 3, 2))),
        tf.matmul(y, y, transpose_b=True),
        tf.stack([v, v], axis=1),
        tf.cast(tf.math.greater(v, 0.0), "float64"),
        tf.image.resize(x, (5, 4)),
        tf.square(tf.math.abs(v)) ** 0.5,
        tf.clip_by_value(x, 0.2, 0.7),
        tf.maximum(x, 0.5),
        *tf.split(y, 2, axis=-1),
        tf.nn.l2_normalize(x, axis=-1),
        tf.nn.softmax(v),
        tf.sigmoid(v),
        tf.nn.gelu(x),
        tf.nn.leaky_relu(x),
        tf.tile(v, [1, 2]),
        tf.gather(x, [0, 2], axis=1),
        tf.pad(x, [[0, 0], [1, 0], [0, 2], [0, 0]]),
        tf.math.squared_difference(x, 0.5),
        tf.one_hot(tf.cast(x * 3, "int32"), 3, dtype="float64"),
        tf.where(x > 0.5, x, -x),
        tf.nn.depth_to_space(tf.concat([x, x + 1.0], axis=-1), 2),
        tf.nn.space_to_depth(x[:, :2], 2),
        tf.image.flip_left_right(x),
        tf.image.flip_up_down(x),
        tf.sort(x, axis=1, direction="DESCENDING"),
        tf.math.cumsum(x, axis=1),
        tf.math.cumsum(x),
        tf.math.cumprod(x, axis=2),
        tf.math.round(4.0 * x - 1.0),
        tf.math.log_sigmoid(x) + tf.math.asin(x) + tf.math.cosh(x) + tf.math.asinh(x),
        tf.math.reduce_euclidean_norm(x, axis=-1),
        tf.cast(tf.math.is_nan(x), "float64") + x * tf.cast(tf.argmin(x, axis=-1), "float64")[..., tf.newaxis],
    ]


if __name__ == "__main__":
    tf, keras = importlib.import_module("tensorflow"), importlib.import_module("keras")
    keras.backend.set_floatx("float64")
    start = keras.Input((3, 2, 2))
    net = keras.Model(start, outputs(tf, start))
    x = np.random.default_rng(0).random((2, 3, 2, 2)).round(3)
    found = [np.asarray(value).tolist() for value in net(x)]
    record = {"model": json.loads(net.to_json()), "x": x.tolist(), "outputs": found}
    Path(__file__).with_name("operations-keras-2.14.json").write_text(json.dumps(record), encoding="utf-8")
