"""Nets that are exported or traced take batches of other sizes, and of half precision."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import regtorch as rt
from keras_json import build, call, functional, layer

ROWS, IMAGE, FILM = (None, 4, 3), (None, 6, 5, 2), (None, 3, 6, 5, 2)
LAYERS: dict[str, tuple[dict[str, Any], tuple[int | None, ...]]] = {
    "LocallyConnected1D": (layer("LocallyConnected1D", filters=2, kernel_size=2, implementation=2), ROWS),
    "LocallyConnected1D, sparse": (layer("LocallyConnected1D", filters=2, kernel_size=2, implementation=3), ROWS),
    "ConvLSTM2D": (layer("ConvLSTM2D", filters=2, kernel_size=3, padding="same", strides=2), FILM),
    "ConvLSTM2D, valid": (layer("ConvLSTM2D", filters=2, kernel_size=2, dilation_rate=2), FILM),
    "own cell": (layer("RNN", cell=layer("Sums", "cell")), ROWS),
    "Reshape": (layer("Reshape", target_shape=[-1, 2]), ROWS),
    "AveragePooling2D": (layer("AveragePooling2D", padding="same", strides=2), IMAGE),
    "TimeDistributed": (layer("TimeDistributed", layer=layer("Dense", "one", units=2)), ROWS),
    "SeparableConv2D": (layer("SeparableConv2D", filters=2, kernel_size=3, padding="same", strides=2), IMAGE),
    "LSTM": (layer("LSTM", units=2), ROWS),
}


class Sums(nn.Module):
    state_size = 3

    def forward(self, inputs: Tensor, states: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        return states[0] + inputs, [states[0] + inputs]


def inputs(shape: tuple[int | None, ...]) -> Tensor:
    x = torch.randn(4, *(n or 1 for n in shape[1:]))
    return x.movedim(-1, 1) if x.ndim > 3 else x


def check(net: nn.Module, x: Tensor) -> None:
    batch = torch.export.Dim("batch", min=2, max=8)
    exported = torch.export.export(net, (x,), dynamic_shapes={"inputs": ({0: batch},)}).module()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is old, and says so
        traced = torch.jit.trace(net, (x,), check_trace=False)
    for size in (3, 4):
        for function in (exported, traced):
            torch.testing.assert_close(function(x[:size]), net(x[:size]))


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_takes_other_batches(name: str):
    config, shape = LAYERS[name]
    net, _ = build(config, shape=shape, seed=1, custom_objects={"Sums": lambda _: Sums()}, version=2)
    check(net.eval(), inputs(shape))


@pytest.mark.parametrize(
    ("merge", "shape"),
    [
        (layer("Dot", axes=[2, 2]), ROWS),
        (layer("Dot", axes=[1, 1], normalize=True), ROWS),
        (layer("Add"), (None, 3)),
    ],
)
def test_a_merge_takes_other_batches(merge: dict[str, Any], shape: tuple[int | None, ...]):
    start = layer("InputLayer", "x", batch_shape=list(ROWS))
    rows = layer("Flatten", "flat") if len(shape) == 2 else layer("Activation", "same", activation="linear")
    units = layer("Dense", "dense", units=3)
    both = [[["x", 0, 0, {}], ["dense", 0, 0, {}]]]
    net, _ = rt.keras.from_config(
        functional((start, []), (rows, call("x")), (units, call(rows["config"]["name"])), (merge, both))
    )
    check(net, inputs(ROWS))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_normalized_dot_product_in_half_precision(dtype: torch.dtype):
    start = layer("InputLayer", "x", batch_shape=[None, 3])
    dot = layer("Dot", axes=-1, normalize=True)
    net, _ = rt.keras.from_config(functional((start, []), (dot, [[["x", 0, 0, {}], ["x", 0, 0, {}]]])))
    y = net(torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]], dtype=dtype))
    torch.testing.assert_close(y, torch.tensor([[1.0], [0.0]], dtype=dtype), rtol=0.02, atol=0.0)
