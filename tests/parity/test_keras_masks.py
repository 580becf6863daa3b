"""Masks of live Keras 3 through layers, merges and nested nets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from comparing import Compare

import keras
import regtorch as rt
from keras import layers as L

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras's
    pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask:UserWarning"),  # Keras's: it drops them
    pytest.mark.parity("masks: outputs, weights", "Keras 3 (torch)"),
]


def embedding(size: int = 3) -> Any:
    return L.Embedding(4, size, mask_zero=True)


def chain(*layers: Any) -> Any:
    return keras.Sequential([keras.Input((6,)), *layers])


def functional(*layers: Any) -> Any:
    start = x = keras.Input((6,))
    for layer in layers:
        x = layer(x)
    return keras.Model(start, x)


def merged(merge: Any, *, other: Any = None) -> Any:
    a, b = keras.Input((6,)), keras.Input((6,))
    shared = embedding()
    return keras.Model([a, b], L.GlobalAveragePooling1D()(merge([shared(a), (other or shared)(b)])))


MODELS: dict[str, Callable[[], Any]] = {
    "chain": lambda: chain(embedding(), L.Dense(2, activation="tanh"), L.Dropout(0.2), L.GlobalAveragePooling1D()),
    "functional": lambda: functional(embedding(), L.LayerNormalization(), L.GlobalAveragePooling1D(keepdims=True)),
    "nested": lambda: chain(keras.Sequential([keras.Input((6,)), embedding()]), L.GlobalAveragePooling1D()),
    "twice nested": lambda: chain(
        keras.Sequential([keras.Input((6,)), keras.Sequential([keras.Input((6,)), embedding()]), L.Dense(2)]),
        L.GlobalAveragePooling1D(),
    ),
    "batch norm": lambda: chain(embedding(), L.BatchNormalization(momentum=0.5), L.GlobalAveragePooling1D()),
    "dropped": lambda: chain(embedding(), L.Conv1D(2, 1), L.GlobalAveragePooling1D()),
    "add": lambda: merged(L.Add()),
    "maximum": lambda: merged(L.Maximum()),
    "multiply": lambda: merged(L.Multiply()),
    "multiply by unmasked": lambda: merged(L.Multiply(), other=L.Embedding(4, 3)),
    "add to unmasked": lambda: merged(L.Add(), other=L.Embedding(4, 3)),
    "concatenate": lambda: merged(L.Concatenate()),
    "concatenate with unmasked": lambda: merged(L.Concatenate(), other=L.Embedding(4, 2)),
    "concatenate steps": lambda: merged(L.Concatenate(axis=1)),
    "masking": lambda: functional(
        L.Embedding(4, 3, embeddings_initializer="zeros"), L.Masking(), L.Dense(2), L.BatchNormalization(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_masks(name: str, training: bool, compare: Compare):
    model = MODELS[name]()
    if training and any(isinstance(layer, L.Dropout) for layer in model.layers):
        pytest.skip("dropout draws other numbers")
    net, _ = rt.keras.from_config(model.to_json())
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.2, 1, w.shape) * (rng.random(w.shape) > 0.3) for w in model.get_weights()])
    rt.keras.load_weights(net, model.get_weights())
    inputs = [torch.from_numpy(rng.integers(0, 4, (5, 6))) for _ in model.inputs]
    inputs[0][0] = torch.tensor([1, 2, 0, 0, 0, 0])
    expected = model(inputs if len(inputs) > 1 else inputs[0], training=training)
    compare(net.train(training)(*inputs), expected, within=1e-6)
    for ours, theirs in zip(rt.keras.get_weights(net), model.get_weights(), strict=True):
        compare(ours, theirs, within=1e-6)


def test_a_softmax_with_a_mask(compare: Compare):
    scores, lengths = keras.Input((6,)), keras.Input((6,), dtype="bool")
    model = keras.Model([scores, lengths], L.Softmax()(scores, mask=lengths))
    x, kept = torch.randn(3, 6), torch.rand(3, 6) > 0.5
    kept[0] = False  # nothing counts
    net, _ = rt.keras.from_config(model.to_json())
    compare(net(x, kept), model([x, kept]), within=1e-6)
