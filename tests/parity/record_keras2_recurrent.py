"""Records runs of Keras 2.14's recurrent nets, as record_keras2.py does of the others.

python tests/parity/record_keras2_recurrent.py tests/parity/keras-2.14-recurrent.json
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from record_keras2 import Net, write


def rules(r: Any, c: Any) -> dict[str, Any]:
    """A rule for each variable and the output."""
    return {
        "kernel_regularizer": r.L2(0.01),
        "recurrent_regularizer": r.OrthogonalRegularizer(0.05, mode="rows"),
        "bias_regularizer": r.L1(0.001),
        "activity_regularizer": r.L2(0.001),
        "kernel_constraint": c.MaxNorm(0.9, axis=0),
        "recurrent_constraint": c.UnitNorm(axis=1),
        "bias_constraint": c.MaxNorm(0.5),
    }


def masked(k: Any, r: Any, c: Any, x: Any) -> Any:
    """Each kind of layer, with every rule, over sequences with gaps."""
    x = k.Masking()(k.ReLU(threshold=0.4)(x))
    x = k.LSTM(4, return_sequences=True, implementation=1, recurrent_activation="hard_sigmoid", **rules(r, c))(x)
    x = k.GRU(5, return_sequences=True, go_backwards=True, **rules(r, c))(x)
    x = k.GRU(4, return_sequences=True, reset_after=False, **rules(r, c))(x)
    x = k.SimpleRNN(6, return_sequences=True, activation="relu", unroll=True, **rules(r, c))(x)
    x = k.LSTM(3, activation="selu", use_bias=False, unit_forget_bias=False)(x)
    return k.Dense(2)(x)


def wrapped(k: Any, r: Any, c: Any, x: Any) -> Any:
    """Both directions, layers and nets in each step, stacks of cells, states that are passed on."""
    x = k.Masking()(k.ReLU(threshold=0.3)(x))
    x = k.Bidirectional(k.LSTM(3, return_sequences=True, **rules(r, c)))(x)
    x = k.Bidirectional(k.GRU(4, return_sequences=True, **rules(r, c)), merge_mode="mul")(x)
    start = k.Input((4,))
    inner = k.Dense(4, activation="tanh", activity_regularizer=r.L2(0.01))(start)
    inner = importlib.import_module("tensorflow").keras.Model(start, k.BatchNormalization()(inner))
    x = k.TimeDistributed(k.Dense(4, activity_regularizer=r.L1(0.01)))(k.TimeDistributed(inner)(x))
    cells = [k.LSTMCell(3, kernel_regularizer=r.L2(0.01)), k.GRUCell(4, recurrent_constraint=c.MaxNorm(0.5, axis=0))]
    x = k.RNN(cells, return_sequences=True)(x)
    y, *state = k.LSTM(3, return_state=True)(x)
    own = k.SimpleRNN(3, activation="sigmoid", go_backwards=True)
    z = k.Bidirectional(k.SimpleRNN(3), backward_layer=own, merge_mode="sum")(x, initial_state=state)
    return k.Dense(2)(k.Concatenate()([y, k.LSTM(3, go_backwards=True)(x, initial_state=state), z]))


def frames(k: Any, r: Any, c: Any, x: Any) -> Any:
    """Convolutional LSTMs, and convolutions in each step."""
    given = {name: rule for name, rule in rules(r, c).items() if name != "recurrent_regularizer"}
    given["kernel_constraint"] = c.MaxNorm(0.9, axis=[0, 1, 2])
    x = k.ConvLSTM2D(3, 3, padding="same", return_sequences=True, recurrent_regularizer=r.L2(0.01), **given)(x)
    x = k.BatchNormalization()(x)
    x = k.TimeDistributed(k.Conv2D(4, 2, strides=2, kernel_regularizer=r.L2(0.01)))(x)
    x = k.ConvLSTM1D(2, 2, dilation_rate=2, padding="same", return_sequences=True)(k.Reshape((3, 6, 4))(x))
    return k.Dense(2)(k.GRU(3)(k.TimeDistributed(k.Flatten())(x)))


CASES: dict[str, tuple[Net, tuple[int, ...], str, str, dict[str, Any]]] = {
    "masked/sgd_momentum": (masked, (9, 1), "mse", "SGD", {"momentum": 0.9}),
    "masked/adam": (masked, (9, 1), "mse", "Adam", {}),
    "wrapped/adam": (wrapped, (7, 1), "mse", "Adam", {}),
    "wrapped/rmsprop": (wrapped, (7, 1), "mse", "RMSprop", {}),
    "frames/sgd": (frames, (3, 7, 5, 2), "mse", "SGD", {"learning_rate": 0.05}),
}


if __name__ == "__main__":
    write(sys.argv[1], CASES)
