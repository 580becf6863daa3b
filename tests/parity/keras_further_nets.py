"""Nets of live Keras 3 with norms, resampling, adaptive pooling and preprocessing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras.src.applications.convnext import LayerScale
from keras.src.applications.inception_resnet_v2 import CustomScaleLayer

import keras

L, R, C = keras.layers, keras.regularizers, keras.constraints


def norms() -> Any:
    x = inputs = keras.Input((5, 6, 4))
    x = L.GroupNormalization(2, gamma_regularizer="l2", beta_constraint=C.NonNeg())(L.Conv2D(4, 3, padding="same")(x))
    x = LayerScale(0.3, 4)(L.RMSNormalization()(x))
    x = CustomScaleLayer(0.4)([x, L.UnitNormalization()(x)])
    return keras.Model(inputs, L.Dense(2)(L.GlobalAveragePooling2D()(x)))


def resampled() -> Any:
    x = inputs = keras.Input((6, 5, 2))
    x = L.UpSampling2D(2, interpolation="bilinear")(L.Resizing(8, 7)(L.CenterCrop(4, 4)(x)))
    x = L.Conv2D(3, 3)(L.AutoContrast(value_range=(0, 1))(x))
    return keras.Model(inputs, L.AdaptiveMaxPooling2D((2, 3))(L.AdaptiveAveragePooling2D(4)(x)))


def adaptive() -> Any:
    x, y = keras.Input((9, 2)), keras.Input((5, 4, 6, 2))
    a = L.Flatten()(L.AdaptiveMaxPooling1D(2)(L.AdaptiveAveragePooling1D(5)(L.Dense(3)(x))))
    b = L.Flatten()(L.AdaptiveMaxPooling3D((2, 1, 2))(L.AdaptiveAveragePooling3D(3)(L.Dense(3)(y))))
    return keras.Model([x, y], L.Dense(2)(L.Concatenate()([a, b])))


def columns() -> Any:
    age, kind = keras.Input((3,)), keras.Input((2,), dtype="int32")
    parts = [
        L.Normalization()(age),
        L.CategoryEncoding(11, output_mode="count")(kind),
        L.Discretization([-0.5, 0.5], output_mode="multi_hot")(age),
        L.Rescaling([1.0, 2.0, 3.0], offset=[0.0, 0.5, 1.0])(age),
    ]
    return keras.Model([age, kind], L.Dense(2)(L.Concatenate()(parts)))


def tied() -> Any:
    """A language model whose last layer has the embeddings' weights."""
    words = keras.Input((5,), dtype="int32")
    embedding = L.ReversibleEmbedding(11, 4, logit_soft_cap=3.0, embeddings_regularizer=R.L2(0.01))
    return keras.Model(words, embedding(L.Dense(4, activation="relu")(embedding(words)), reverse=True))


FURTHER_NETS: dict[str, Callable[[], Any]] = {net.__name__: net for net in (norms, resampled, adaptive, columns, tied)}
