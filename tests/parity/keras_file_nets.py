"""Nets of live Keras 3 that are hard to map from a file: nested, shared, frozen, and named against their order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from keras_definitions import DEFINITIONS
from keras_nets import NETS as LAYERS

import keras

L = keras.layers


def nested() -> Any:
    """Nets in nets in nets, with weights that do not train, which `model.h5` keeps last."""
    inmost = keras.Sequential([keras.Input((6,)), L.Dense(5), L.BatchNormalization(), L.Dropout(0.0), L.Dense(4)])
    a = keras.Input((6,))
    middle = keras.Model(a, L.Dense(3, name="z")(L.Concatenate()([inmost(a), L.Dense(2, name="a")(a)])))
    x = keras.Input((6,))
    return keras.Model(x, L.Dense(2)(L.Add()([middle(x), L.Dense(3)(L.BatchNormalization()(x))])))


def shared() -> Any:
    """A layer and a net that are each called twice, and operations, which are no layers."""
    a, b = keras.Input((5,)), keras.Input((5,))
    once = L.Dense(4, activation="tanh")
    twice = keras.Sequential([keras.Input((4,)), L.Dense(4), L.LayerNormalization()])
    x = L.Multiply()([twice(once(a)), twice(once(b))])
    return keras.Model([a, b], [L.Dense(2, name="first")(x), L.Dense(1, name="second")(once(a))])


def frozen() -> Any:
    """Frozen layers outside and inside of a nested net."""
    inner = keras.Sequential([keras.Input((4, 4, 3)), L.Conv2D(3, 2), L.BatchNormalization(), L.Conv2D(2, 2)])
    inner.layers[0].trainable = False
    model = keras.Sequential([keras.Input((6, 6, 2)), L.SeparableConv2D(3, 3), inner, L.Flatten(), L.Dense(3)])
    model.layers[0].trainable = False
    return model


def heads() -> Any:
    """Attention layers, whose projections are layers in them."""
    x = inputs = keras.Input((5, 4))
    x = L.MultiHeadAttention(2, 3, use_gate=True)(x, x)
    x = L.GroupQueryAttention(3, 4, 2, use_gate=True)(x, x)
    x = L.RNN([L.GRUCell(3), L.GRUCell(2), L.SimpleRNNCell(2)], return_sequences=True)(x)
    return keras.Model(inputs, L.TimeDistributed(keras.Sequential([keras.Input((2,)), L.Dense(3), L.Dense(2)]))(x))


def odd_names() -> Any:
    """Names whose order is not the net's."""
    names = ["z", "m deep", "dense_1", "dense", "a"]
    return keras.Sequential([keras.Input((3,)), *(L.Dense(3 + i, name=name) for i, name in enumerate(names))])


def adapted() -> Any:
    """State that is no weight: what `adapt` counts, before two layers of one class, and the seeds of draws."""
    given, more = L.Normalization(), L.Normalization()
    data = np.random.default_rng(3).standard_normal((20, 4))
    given.adapt(data)
    more.adapt(3 * data)
    drop = L.Dropout(1e-30)  # draws, and drops nothing
    a = keras.Input((4,))
    return keras.Model(a, L.Dense(2)(drop(L.Concatenate()([given(a), more(L.Dense(4)(a))]))))


NETS: dict[str, Callable[[], Any]] = (
    LAYERS | DEFINITIONS | {net.__name__: net for net in (nested, shared, frozen, heads, odd_names, adapted)}
)
