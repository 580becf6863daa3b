"""Nets of live Keras drawn at random: layers called again, nets in nets, outputs that feed others, frozen parts."""

from __future__ import annotations

from random import Random
from typing import Any

import keras

L, R = keras.layers, keras.regularizers
WIDTH = 4
ACTIVATIONS = ["linear", "relu", "tanh", "sigmoid", "softmax", "elu", "gelu", "silu"]


class Drawn:
    """One net of vectors of `WIDTH` numbers.

    Attributes:
        heads: whether every output ends in a softmax or sigmoid.
    """

    def __init__(self, random: Random, *, heads: bool = False, depth: int = 0) -> None:
        self.random, self.heads, self.depth = random, heads, depth
        self.layers: list[Any] = []
        inputs = [keras.Input((WIDTH,)) for _ in range(random.choice([1, 1, 2]))]
        self.tensors: list[Any] = list(inputs)
        for _ in range(random.randint(2, 6)):
            self._call()
        while len(inputs) > len(self._used(inputs)) or len(self.tensors) == len(inputs):
            self.tensors.append(L.Add()([*inputs, self.tensors[-1]]))
        ends = [self.tensors[-1], *random.choices(self.tensors[len(inputs) :], k=random.choice([0, 0, 1, 2]))]
        self.model = keras.Model(inputs, [self._head(x) for x in ends] if heads else ends)
        for layer in self.layers:
            if random.random() < 0.2:
                layer.trainable = random.random() < 0.3

    def _used(self, inputs: list[Any]) -> set[int]:
        """Which inputs the last tensor depends on."""
        try:
            keras.Model(inputs, self.tensors[-1])
        except ValueError:
            return set()
        return set(range(len(inputs)))

    def _call(self) -> None:
        random = self.random
        x = random.choice(self.tensors[-3:])
        what = random.random()
        if what < 0.3 and self.layers:
            layer = random.choice(self.layers)
        elif what < 0.5:
            others = random.choices(self.tensors, k=random.choice([1, 1, 2]))
            merge = random.choice([L.Add, L.Multiply, L.Average, L.Maximum, L.Concatenate])
            y = merge()([x, *others])
            self.tensors.append(L.Dense(WIDTH)(y) if merge is L.Concatenate else y)
            return
        elif what < 0.6:
            self.tensors.append(random.choice([x + self.tensors[0], x * self.tensors[-1], keras.ops.softmax(x)]))
            return
        elif what < 0.75 and self.depth < 2:
            inner = Drawn(random, depth=self.depth + 1)
            layer = inner.model
            self.layers.append(layer)
        else:
            layer = self._new()
            self.layers.append(layer)
        y = layer([random.choice(self.tensors) for _ in layer.inputs] if self._is_net(layer) else x)
        self.tensors += y if isinstance(y, list | tuple) else [y]

    def _is_net(self, layer: Any) -> bool:
        return isinstance(layer, keras.Model)

    def _new(self) -> Any:
        random = self.random
        maybe = [None, None, R.L1(0.01), R.L2(0.1), R.L1L2(0.01, 0.1)]
        rule = random.choice(maybe)
        kind = random.choice(
            ["Dense", "Dense", "Dense", "BatchNormalization", "LayerNormalization", "Activation", "PReLU"]
        )
        if kind == "Dense":
            settings = {"kernel_regularizer": random.choice(maybe), "activity_regularizer": rule}
            return L.Dense(
                WIDTH, activation=random.choice(ACTIVATIONS), bias_regularizer=random.choice(maybe), **settings
            )
        if kind == "Activation":
            return L.Activation(random.choice(ACTIVATIONS), activity_regularizer=rule)
        if kind == "BatchNormalization":
            return L.BatchNormalization(momentum=0.5, gamma_regularizer=rule, trainable=random.random() < 0.8)
        return L.PReLU(alpha_regularizer=rule) if kind == "PReLU" else L.LayerNormalization(beta_regularizer=rule)

    def _head(self, x: Any) -> Any:
        """A softmax or sigmoid at the end, of one kind or the other; sometimes one that others take from too."""
        random = self.random
        kind = random.choice(["softmax", "sigmoid"])
        rule = random.choice([None, R.L2(0.1)])
        shared = [
            layer
            for layer in self.layers
            if isinstance(layer, L.Dense) and layer.activation.__name__ in ("softmax", "sigmoid")
        ]
        if shared and random.random() < 0.5:
            return random.choice(shared)(x)
        if random.random() < 0.5:
            return L.Dense(WIDTH, activation=kind, activity_regularizer=rule)(x)
        return L.Activation(kind, activity_regularizer=rule)(x)
