"""Nets as people publish them: recurrent, attention, graph operations, several inputs. Small, and without dropout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import layers as L
from keras import ops

R, C = keras.regularizers, keras.constraints


def chain(shape: tuple[int | None, ...], *layers: Any, dtype: str | None = None) -> Any:
    return keras.Sequential([keras.Input(shape, dtype=dtype), *layers])


def sentiment() -> Any:
    """The IMDB example: an LSTM on embeddings."""
    cell = L.LSTM(6, kernel_regularizer=R.L2(0.01), recurrent_regularizer=R.L1(1e-3), bias_regularizer=R.L2(0.1))
    return chain((7,), L.Embedding(11, 5, mask_zero=True), cell, L.Dense(1, activation="sigmoid"), dtype="int32")


def bidirectional() -> Any:
    stacked = [L.Bidirectional(L.LSTM(4, return_sequences=True)), L.Bidirectional(L.LSTM(3))]
    return chain((6,), L.Embedding(11, 5), *stacked, L.Dense(2, activation="softmax"), dtype="int32")


def stock() -> Any:
    first = L.GRU(5, return_sequences=True, kernel_constraint=C.MaxNorm(0.7), recurrent_constraint=C.UnitNorm())
    return chain((9, 3), first, L.GRU(4, reset_after=False), L.Dense(1))


def autoencoder() -> Any:
    """An LSTM autoencoder: the code is repeated for every step."""
    head = L.TimeDistributed(L.Dense(3, kernel_regularizer=R.L2(0.01)))
    return chain((5, 3), L.LSTM(4), L.RepeatVector(5), L.LSTM(4, return_sequences=True), head)


def video() -> Any:
    return chain((4, 6, 5, 2), L.ConvLSTM2D(3, 3, padding="same"), L.GlobalAveragePooling2D(), L.Dense(2))


def frames() -> Any:
    """A convolution on each frame, and an LSTM over them."""
    each = (L.TimeDistributed(L.Conv2D(3, 3, activation="relu")), L.TimeDistributed(L.GlobalAveragePooling2D()))
    return chain((4, 6, 5, 2), *each, L.LSTM(3), L.Dense(2, activation="softmax"))


def translation() -> Any:
    """An encoder whose states start the decoder."""
    source, target = keras.Input((5,), dtype="int32"), keras.Input((4,), dtype="int32")
    words = L.Embedding(11, 4)
    _, h, c = L.LSTM(4, return_state=True)(words(source))
    decoded = L.LSTM(4, return_sequences=True)(words(target), initial_state=[h, c])
    return keras.Model([source, target], L.Dense(6, activation="softmax")(decoded))


def masked_steps() -> Any:
    layers = (L.Masking(0.0), L.GRU(4, return_sequences=True), L.SimpleRNN(3, go_backwards=True), L.Dense(1))
    return chain((6, 2), *layers)


def siamese() -> Any:
    a, b = keras.Input((4,)), keras.Input((4,))
    shared = keras.Sequential([keras.Input((4,)), L.Dense(5, activation="relu"), L.Dense(3)])
    similar = L.Dot(axes=1, normalize=True)([shared(a), shared(b)])
    return keras.Model([a, b], L.Dense(1, activation="sigmoid")(similar))


def factors() -> Any:
    """Matrix factorization with biases."""
    user, item = keras.Input((1,), dtype="int32"), keras.Input((1,), dtype="int32")

    def factor(x: Any, size: int) -> Any:
        return L.Flatten()(L.Embedding(11, size, embeddings_regularizer=R.L2(1e-2))(x))

    dot = L.Dot(axes=1)([factor(user, 4), factor(item, 4)])
    return keras.Model([user, item], L.Add()([dot, factor(user, 1), factor(item, 1)]))


def transformer() -> Any:
    """The time-series example: attention, a feed-forward part, and residuals."""
    start = keras.Input((6, 4))
    x = L.LayerNormalization(epsilon=1e-6)(start)
    x = L.MultiHeadAttention(2, 3, kernel_regularizer=R.L2(0.01))(x, x)
    residual = x + start
    x = L.LayerNormalization(epsilon=1e-6)(residual)
    x = L.Conv1D(4, 1)(L.Conv1D(5, 1, activation="relu")(x)) + residual
    return keras.Model(start, L.Dense(2, activation="softmax")(L.GlobalAveragePooling1D()(x)))


def vision_transformer() -> Any:
    start = keras.Input((8, 8, 3))
    x: Any = ops.reshape(L.Conv2D(6, 4, strides=4)(start), (-1, 4, 6))
    ones: Any = ops.cumsum(ops.ones_like(x[:, :, 0]), axis=1)
    places = ops.cast(ones - 1, "int32")
    x = x + L.Embedding(4, 6)(places)
    y = L.LayerNormalization()(x)
    x = x + L.MultiHeadAttention(2, 3)(y, y)
    x = x + L.Dense(6, activation="gelu")(L.LayerNormalization()(x))
    return keras.Model(start, L.Dense(3)(x[:, 0]))


def attention_over_steps() -> Any:
    """Bahdanau's attention over a recurrent net."""
    start = keras.Input((6, 3))
    states, last = L.GRU(4, return_sequences=True, return_state=True)(start)
    query = L.Reshape((1, 4))(last)
    context = L.AdditiveAttention()([query, states])
    return keras.Model(start, L.Dense(1)(L.Flatten()(L.Concatenate()([context, query]))))


def squeezed() -> Any:
    """Squeeze and excitation by Dense layers: a merge of unequal ranks."""
    start = keras.Input((6, 6, 3))
    x = L.Conv2D(4, 3, activation="relu")(start)
    weights = L.Dense(4, activation="sigmoid")(L.Dense(2, activation="relu")(L.GlobalAveragePooling2D()(x)))
    return keras.Model(start, L.Dense(2)(L.GlobalMaxPooling2D()(L.Multiply()([x, L.Reshape((1, 1, 4))(weights)]))))


def preprocessing() -> Any:
    """The transfer tutorial's arithmetic before the net."""
    start = keras.Input((6, 6, 3))
    x = L.Conv2D(3, 3, activation="relu6")(start / 127.5 - 1.0)
    return keras.Model(start, L.Dense(1)(ops.mean(x, axis=(1, 2))))


def messages() -> Any:
    """Message passing on a graph, with an adjacency matrix as a second input."""
    nodes, edges = keras.Input((5, 3)), keras.Input((5, 5))
    x = L.Dense(4, activation="relu")(nodes)
    x = ops.relu(ops.matmul(ops.softmax(edges, axis=-1), x)) + x
    pooled = ops.concatenate([ops.mean(x, axis=1), ops.max(x, axis=1)], axis=-1)
    return keras.Model([nodes, edges], L.Dense(2)(pooled))


def grouped() -> Any:
    start = keras.Input((6, 6, 4))
    x = L.Activation("silu")(L.GroupNormalization(2)(L.Conv2D(4, 3, padding="same")(start)))
    return keras.Model(start, L.Dense(2)(L.GlobalAveragePooling2D()(x + start)))


def discriminator() -> Any:
    normed = L.SpectralNormalization(L.Conv2D(3, 3, kernel_regularizer=R.L2(0.01)))
    return chain((6, 6, 2), normed, L.LeakyReLU(0.2), L.Flatten(), L.Dense(1))


def table() -> Any:
    """Columns by name, normalized and one-hot."""
    age, kind = keras.Input((1,), name="age"), keras.Input((1,), name="kind", dtype="int32")
    given = L.Normalization(mean=40.0, variance=100.0)(age)
    coded = L.CategoryEncoding(11, output_mode="one_hot")(kind)
    x = L.Dense(3, activation="relu")(L.Concatenate()([given, coded]))
    return keras.Model({"age": age, "kind": kind}, {"price": L.Dense(1, name="price")(x)})


def volumes() -> Any:
    start = keras.Input((4, 4, 4, 2))
    x = L.UpSampling3D(2)(L.MaxPooling3D(2)(L.Conv3D(3, 3, padding="same", activation="relu")(start)))
    return keras.Model(start, L.Conv3D(2, 1)(L.Concatenate()([x, start])))


def attention_map() -> Any:
    """CBAM's spatial attention, by operations instead of Lambdas."""
    start = keras.Input((6, 6, 3))
    pooled = ops.concatenate([ops.mean(start, axis=-1, keepdims=True), ops.max(start, axis=-1, keepdims=True)], axis=-1)
    weights = L.Conv2D(3, 3, padding="same", activation="sigmoid", use_bias=False)(pooled)
    return keras.Model(start, L.Dense(2)(L.GlobalAveragePooling2D()(start * weights)))


DEFINITIONS: dict[str, Callable[[], Any]] = {
    function.__name__: function
    for function in (
        *(sentiment, bidirectional, stock, autoencoder, video, frames, translation, masked_steps, siamese, factors),
        *(transformer, vision_transformer, attention_over_steps, squeezed, preprocessing, messages, grouped),
        *(discriminator, table, volumes, attention_map),
    )
}
