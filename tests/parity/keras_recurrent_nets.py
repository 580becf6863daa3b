"""Recurrent nets of live Keras 3 with every rule, which test_keras_nets.py trains in both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import constraints as C
from keras import layers as L
from keras import regularizers as R

RULES: dict[str, Any] = {
    "kernel_regularizer": "l2",
    "recurrent_regularizer": R.OrthogonalRegularizer(0.05, mode="rows"),
    "bias_regularizer": R.L1(0.01),
    "activity_regularizer": R.L2(0.01),
    "kernel_constraint": C.MaxNorm(0.9, axis=0),
    "recurrent_constraint": C.UnitNorm(axis=1),
    "bias_constraint": C.MaxNorm(0.7),
}


def recurrent() -> Any:
    """Each layer with every rule, one on the other, with masks."""
    inputs = keras.Input((9,), dtype="int32")
    x = L.Embedding(11, 5, mask_zero=True)(inputs)
    x = L.LSTM(4, return_sequences=True, **RULES)(x)
    x = L.GRU(5, return_sequences=True, go_backwards=True, **RULES)(x)
    x = L.GRU(4, return_sequences=True, reset_after=False, recurrent_activation="hard_sigmoid", **RULES)(x)
    x = L.SimpleRNN(6, return_sequences=True, activation="relu", **RULES)(x)
    x = L.LSTM(3, activation="softsign", use_bias=False, unit_forget_bias=False, unroll=True)(x)
    return keras.Model(inputs, L.Dense(2)(x))


def states() -> Any:
    """An encoder whose states start a decoder."""
    source, target = keras.Input((6, 3)), keras.Input((5, 2))
    _, *state = L.LSTM(4, return_state=True, **RULES)(source)
    x, *_ = L.LSTM(4, return_state=True, return_sequences=True, **RULES)(target, initial_state=state)
    x, h = L.GRU(4, return_state=True, return_sequences=True)(x, state[0])
    return keras.Model([source, target], [L.TimeDistributed(L.Dense(3, kernel_regularizer="l2"))(x), h])


def wrapped() -> Any:
    """Both directions, merged in every way; nets and layers in each step; stacks of cells."""
    x = inputs = keras.Input((7, 3))
    x = L.Masking(mask_value=9.0)(x)
    x = L.Bidirectional(L.LSTM(3, return_sequences=True, **RULES))(x)
    x = L.Bidirectional(L.GRU(4, return_sequences=True, **RULES), merge_mode="sum")(x)
    own = L.SimpleRNN(4, return_sequences=True, go_backwards=True, activation="sigmoid", recurrent_regularizer="l1")
    first, second = L.Bidirectional(L.LSTM(4, return_sequences=True), backward_layer=own, merge_mode=None)(x)
    x = L.Bidirectional(L.SimpleRNN(4, return_sequences=True), merge_mode="ave")(L.Add()([first, second]))
    step = keras.Sequential([keras.Input((4,)), L.Dense(4, activation="tanh", activity_regularizer="l2")])
    step.add(L.BatchNormalization(gamma_regularizer="l2"))
    x = L.TimeDistributed(step)(x)
    cells = [L.LSTMCell(3, kernel_regularizer="l2"), L.GRUCell(4, bias_regularizer="l1"), L.SimpleRNNCell(2)]
    x = L.RNN(cells, return_sequences=True, activity_regularizer="l2")(x)
    x = L.RNN(L.GRUCell(3, recurrent_constraint=C.MaxNorm(0.5, axis=0)), go_backwards=True)(x)
    return keras.Model(inputs, L.Dense(2)(x))


def each_step() -> Any:
    """In each step, layers in a layer that have penalties, and a penalty of all steps."""
    x = inputs = keras.Input((3, 4, 5))
    x = L.TimeDistributed(L.Bidirectional(L.LSTM(3, return_sequences=True, activity_regularizer="l1")))(x)
    x = L.TimeDistributed(L.Flatten(activity_regularizer="l2"), activity_regularizer="l1")(x)
    return keras.Model(inputs, L.Dense(2)(L.Bidirectional(L.GRU(3), activity_regularizer="l2")(x)))


def convolutional() -> Any:
    """Convolutional LSTMs over frames, volumes and rows."""
    inputs = keras.Input((3, 6, 5, 2))
    rules = {name: rule for name, rule in RULES.items() if name != "recurrent_regularizer"}
    rules["kernel_constraint"] = C.MaxNorm(0.9, axis=[0, 1, 2])
    x = L.ConvLSTM2D(3, 3, padding="same", return_sequences=True, recurrent_regularizer="l2", **rules)(inputs)
    x = L.Bidirectional(L.ConvLSTM2D(2, 2, strides=2, padding="same", return_sequences=True))(x)
    x = L.TimeDistributed(L.Conv2D(4, 2, kernel_regularizer="l2"))(x)
    rows = L.ConvLSTM1D(3, 2, dilation_rate=2, padding="same", return_sequences=True)(L.Reshape((3, 4, 4))(x))
    volume = L.ConvLSTM3D(2, 2, padding="same", bias_regularizer="l2")(L.Reshape((3, 2, 2, 2, 2))(x))
    y = L.Concatenate()([L.Flatten()(rows), L.Flatten()(volume), L.Flatten()(L.ConvLSTM1D(2, 2)(rows))])
    return keras.Model(inputs, L.Dense(2)(y))


RECURRENT_NETS: dict[str, Callable[[], Any]] = {
    net.__name__: net for net in (recurrent, states, wrapped, each_step, convolutional)
}
