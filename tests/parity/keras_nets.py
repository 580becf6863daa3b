"""Nets of live Keras 3 for the parity tests: small ones that between them hold every layer that is supported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras_recurrent_nets import RECURRENT_NETS

import keras

L, R, C = keras.layers, keras.regularizers, keras.constraints
INITIALIZER: dict[str, Any] = {"kernel_initializer": "he_normal", "bias_initializer": keras.initializers.RandomNormal()}


def mlp() -> Any:
    return keras.Sequential(
        [
            keras.Input((9,)),
            L.Dense(12, activation="sigmoid", kernel_regularizer=R.L1L2(1e-3, 1e-2), bias_regularizer="l2"),
            L.Dropout(0.0),
            L.Dense(8, activation="gelu", kernel_constraint=C.MaxNorm(1.0), **INITIALIZER),
            L.Dense(4, activation="softmax", use_bias=False, kernel_constraint=C.NonNeg()),
        ]
    )


def deep_cnn() -> Any:
    model = keras.Sequential([keras.Input((12, 10, 3))])
    for width in (4, 6):
        for _ in range(2):
            model.add(L.Conv2D(width, 3, padding="same", activation="relu", kernel_regularizer="l2"))
            model.add(L.BatchNormalization(momentum=0.9))
        model.add(L.MaxPooling2D())
    model.add(L.Flatten())
    model.add(L.Dense(7, activation="relu", kernel_regularizer="l1", kernel_constraint=C.UnitNorm()))
    model.add(L.BatchNormalization(scale=False))
    model.add(L.Dense(5, activation="softmax"))
    return model


def strided() -> Any:
    x = inputs = keras.Input((11, 9, 2))
    x = L.ZeroPadding2D(((1, 0), (0, 2)))(x)
    x = L.Conv2D(4, 3, strides=2, padding="same", kernel_constraint=C.MaxNorm(0.9, axis=[0, 1, 2]))(x)
    x = L.LeakyReLU(negative_slope=0.1)(x)
    x = L.DepthwiseConv2D(3, depth_multiplier=2, padding="same", depthwise_constraint=C.UnitNorm(axis=[0, 1]))(x)
    x = L.SeparableConv2D(6, 2, activation="elu", pointwise_regularizer=R.L1(1e-3), bias_regularizer="l2")(x)
    x = L.Conv2D(4, (2, 1), dilation_rate=(1, 2), groups=2, padding="same", activation="tanh")(x)
    x = L.UpSampling2D((2, 1))(x)
    x = L.Conv2DTranspose(3, 3, strides=2, padding="same", kernel_regularizer="l2")(x)
    x = L.Conv2DTranspose(3, 2, strides=3, padding="valid")(L.Cropping2D(1)(x))
    # Where the two sides differ, Keras's torch backend repeats the edge instead; a recorded run has that.
    x = L.AveragePooling2D(3, strides=1, padding="same")(L.BatchNormalization(center=False)(x))
    x = L.Dense(4)(L.PReLU(shared_axes=[1, 2], alpha_initializer="he_normal")(x))
    x = L.Permute((2, 3, 1))(L.MaxPooling2D(2, padding="same")(x))
    x = L.SpatialDropout2D(0.0)(L.LayerNormalization()(x))
    return keras.Model(inputs, L.Dense(3, activation="softmax")(L.GlobalMaxPooling2D()(x)))


def branches() -> Any:
    a, b = keras.Input((7,), name="first"), keras.Input((5,), name="second")
    shared = L.Dense(6, activation="tanh", kernel_regularizer="l2")
    x = L.Dense(7, activation="selu", activity_regularizer=R.L1(1e-3))(a)
    y = L.Dense(7, kernel_constraint=C.MinMaxNorm(0.5, 1.0, rate=0.5), bias_constraint=C.NonNeg())(b)
    parts = [shared(merge()([x, y])) for merge in (L.Add, L.Multiply, L.Average, L.Maximum, L.Minimum, L.Subtract)]
    z = L.Concatenate()(parts)
    z = L.ActivityRegularization(l1=1e-4, l2=1e-3)(L.LayerNormalization(epsilon=1e-5)(z))
    inner = keras.Sequential(
        [keras.Input((36,)), L.Dense(4, activation="swish", kernel_regularizer="l1")], name="inner"
    )
    z = L.Reshape((2, 2))(inner(z))
    z = L.Activation("softplus")(L.Flatten()(L.RepeatVector(2)(L.Flatten()(z))))
    return keras.Model([a, b], [L.Dense(1, activation="sigmoid", name="head")(z), L.Dense(2)(z)])


def unequal() -> Any:
    """Keras's layers come in another order than their calls by depth."""
    a, b = keras.Input((4,)), keras.Input((4,))
    deep = L.Dense(4, name="deep2", activation="relu")(L.Dense(4, name="deep1", activation="tanh")(a))
    return keras.Model([a, b], L.Dense(4)(L.Concatenate()([deep, L.Dense(4, name="flat")(b)])))


def sequence() -> Any:
    x = inputs = keras.Input((13,), dtype="int32")
    x = L.Embedding(11, 6, embeddings_regularizer="l2", embeddings_constraint=C.MaxNorm(0.2, axis=1))(x)
    x = L.Conv1D(6, 3, padding="causal", dilation_rate=2, activation="silu", kernel_regularizer="l2")(x)
    x = L.BatchNormalization(gamma_regularizer="l2", gamma_constraint=C.MaxNorm(0.9))(x)
    x = L.SpatialDropout1D(0.0)(L.MaxPooling1D(2, padding="same")(L.ZeroPadding1D(1)(x)))
    x = L.SeparableConv1D(5, 3, padding="same")(L.UpSampling1D(2)(x))
    x = L.Conv1DTranspose(4, 3, strides=2)(L.DepthwiseConv1D(2)(L.Cropping1D((1, 0))(x)))
    x = L.AveragePooling1D(2)(L.ReLU(max_value=1.5, negative_slope=0.1, threshold=0.2)(x))
    y = L.Concatenate()([L.GlobalAveragePooling1D()(x), L.GlobalMaxPooling1D()(x)])
    return keras.Model(inputs, L.Dense(3)(y))


def volume() -> Any:
    x = inputs = keras.Input((6, 5, 4, 2))
    x = L.Conv3D(3, 2, padding="same", strides=(1, 2, 1), activation="relu", kernel_regularizer="l2")(x)
    x = L.BatchNormalization()(L.SpatialDropout3D(0.0)(x))
    x = L.MaxPooling3D(2, padding="same")(L.Conv3DTranspose(2, 2, strides=2)(L.ZeroPadding3D(1)(x)))
    x = L.AveragePooling3D((2, 1, 1))(L.Cropping3D(1)(x))
    y = L.Add()([L.GlobalMaxPooling3D()(x), L.GlobalAveragePooling3D()(x), L.GlobalAveragePooling3D()(x)])
    return keras.Model(inputs, L.Softmax()(L.Dense(3)(L.Rescaling(2.0, offset=-0.5)(y))))


def channels_first() -> Any:
    x = inputs = keras.Input((2, 8, 7))
    settings: dict[str, Any] = {"data_format": "channels_first"}
    x = L.Conv2D(4, 3, padding="same", strides=2, kernel_constraint=C.MaxNorm(0.8, axis=[0, 1, 2]), **settings)(x)
    x = L.BatchNormalization(axis=1)(x)
    x = L.Dense(3)(L.MaxPooling2D(2, **settings)(x))
    y = L.Concatenate()([L.Flatten(**settings)(x), L.Flatten()(x), L.GlobalAveragePooling2D(**settings)(x)])
    return keras.Model(inputs, L.Dense(2)(y))


NETS: dict[str, Callable[[], Any]] = {
    net.__name__: net for net in (mlp, deep_cnn, strided, branches, unequal, sequence, volume, channels_first)
}
NETS |= RECURRENT_NETS
