"""Pruned and parametrized weights of converted layers: outputs, training, and the way back to Keras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune

import regtorch as rt
from keras_json import build, layer

STEPS = (None, 4, 3)
NETS: dict[str, tuple[dict[str, Any], tuple[int | None, ...]]] = {
    "SimpleRNN": (layer("SimpleRNN", "it", units=2), STEPS),
    "GRU": (layer("GRU", "it", units=2), STEPS),
    "LSTM": (layer("LSTM", "it", units=2), STEPS),
    "LSTM, a loop": (layer("LSTM", "it", units=2, activation="relu"), STEPS),
    "RNN": (layer("RNN", "it", cell=layer("GRUCell", "cell", units=2)), STEPS),
    "Bidirectional": (layer("Bidirectional", "it", layer=layer("LSTM", "one", units=2)), STEPS),
    "ConvLSTM1D": (layer("ConvLSTM1D", "it", filters=2, kernel_size=2), (None, 4, 5, 3)),
    "Dense": (layer("Dense", "it", units=2), STEPS),
    "SeparableConv1D": (layer("SeparableConv1D", "it", filters=2, kernel_size=2), STEPS),
}


def made(name: str) -> tuple[Any, Tensor, list[tuple[nn.Module, str]]]:
    """A net, an input, and its kernels."""
    config, shape = NETS[name]
    net, _ = build(config, shape=shape, seed=1)
    x = torch.randn(2, *(n or 1 for n in shape[1:]), generator=torch.Generator().manual_seed(2))
    kernels = [
        (part, key)
        for part in net.modules()
        for key in part._parameters
        if key in ("weight", "kernel", "recurrent_kernel")
    ]
    return net.double(), (x.movedim(-1, 1) if x.ndim == 4 else x).double(), kernels


class Twice(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return 2 * weight


@pytest.mark.parametrize("name", NETS)
def test_pruned_kernels_train_and_go_back_to_keras(name: str, tmp_path: Path):
    net, x, kernels = made(name)
    first = kernels[0]
    prune.l1_unstructured(*first, amount=0.5)
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    for _ in range(2):
        optimizer.zero_grad()
        net(x).square().sum().backward()
        optimizer.step()
    outputs = net(x)
    weights = rt.keras.get_weights(net)
    plain = made(name)[0]
    rt.keras.load_weights(plain, weights)
    torch.testing.assert_close(plain(x), outputs)
    prune.remove(*first)
    torch.testing.assert_close(net(x), outputs)
    for now, then in zip(rt.keras.get_weights(net), weights, strict=True):
        np.testing.assert_array_equal(now, then)
    rt.keras.save(net, tmp_path / "net.weights.h5")
    other = made(name)[0]
    rt.keras.load_weights(other, tmp_path / "net.weights.h5")
    torch.testing.assert_close(other(x), outputs)


@pytest.mark.parametrize("name", NETS)
def test_parametrized_kernels_go_back_to_keras(name: str):
    net, x, kernels = made(name)
    before = rt.keras.get_weights(net)
    for part, key in kernels:
        parametrize.register_parametrization(part, key, Twice())
    other = made(name)[0]
    rt.keras.load_weights(other, rt.keras.get_weights(net))
    torch.testing.assert_close(other(x), net(x))
    assert [w.shape for w in rt.keras.get_weights(net)] == [w.shape for w in before]


@pytest.mark.parametrize("name", ["LSTM", "LSTM, a loop", "ConvLSTM1D"])
def test_a_cells_hooks_run(name: str):
    net, x, _ = made(name)
    seen: list[Tensor] = []
    net.it.cell.register_forward_hook(lambda cell, inputs, output: seen.append(output[0]))
    y = net(x)
    assert len(seen) == 1
    torch.testing.assert_close(net.it._state(seen[0][:, -1]), y)
