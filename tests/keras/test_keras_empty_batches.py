"""Batches of no samples, as the last one of a process or of a filter may be."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from keras_json import build, layer

IMAGE = (None, 4, 6, 3)


@pytest.mark.parametrize("target", [(-1, 12), (8, -1), (72,), (-1,), (2, -1, 4, 3)])
def test_reshape(target: tuple[int, ...]):
    net, _ = build(layer("Reshape", target_shape=target), shape=IMAGE)
    assert net(torch.randn(0, 3, 4, 6)).shape[1:] == net(torch.randn(2, 3, 4, 6)).shape[1:]


@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
def test_recurrent_layers_with_masks(kind: str, sequences: bool):
    settings: dict[str, Any] = {"units": 4, "return_sequences": sequences}
    net, _ = build(layer("Masking", "masking"), layer(kind, "it", **settings), shape=(None, 5, 3))
    y = net(torch.randn(0, 5, 3))
    assert y.shape == ((0, 5, 4) if sequences else (0, 4))
    y.sum().backward()
