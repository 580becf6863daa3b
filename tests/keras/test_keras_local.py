"""Keras 2's locally connected layers; tests/parity/keras-2.14-local.json compares them with it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

import regtorch as rt
from keras_json import build, layer


@pytest.mark.parametrize("implementation", [1, 2, 3])
@pytest.mark.parametrize("last", [True, False])
def test_each_kernel_is_a_convolution_where_all_positions_have_the_same(implementation: int, last: bool):
    settings = {"filters": 3, "kernel_size": [2, 3], "strides": [1, 2], "implementation": implementation}
    local = layer("LocallyConnected2D", **settings, data_format=f"channels_{'last' if last else 'first'}")
    net = build(local, shape=(None, 5, 7, 2) if last else (None, 2, 5, 7))[0].double()
    kernel, bias, x = (torch.randn(shape).double() for shape in [(3, 2, 2, 3), (4, 3, 3), (4, 2, 5, 7)])
    apart = torch.zeros(5, 7, 2, 4, 3, 3).double()
    for i in range(4):
        for j in range(3):
            apart[i : i + 2, 2 * j : 2 * j + 3, :, i, j] = kernel.permute(2, 3, 1, 0)
    patch = kernel.permute(2, 3, 1, 0) if last else kernel.permute(1, 2, 3, 0)
    apart = apart if last else apart.permute(2, 0, 1, 5, 3, 4)
    pairs = apart.flatten(3).flatten(0, 2).T.reshape(-1)
    value = (patch.reshape(1, 12, 3).repeat(12, 1, 1), apart, pairs[pairs != 0])[implementation - 1]
    rt.keras.load_weights(net, [value.numpy(), bias.numpy()])
    bias = bias.movedim(-1, 0) if last else bias.reshape(3, 4, 3)  # Keras's, which mixes the positions up
    torch.testing.assert_close(net(x), F.conv2d(x, kernel, stride=(1, 2)) + bias)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"padding": "same"}, "padding='same' needs implementation=2 or 3"),
        ({"implementation": 4}, "implementation must be 1, 2 or 3, received 4"),
        ({"kernel_size": 9}, r"kernel_size=\(9,\) is larger than the input, \(5,\)"),
    ],
)
def test_invalid_settings(settings: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        build(layer("LocallyConnected1D", **{"filters": 3, "kernel_size": 2, **settings}), shape=(None, 5, 2))


def test_open_sizes_are_refused():
    with pytest.raises(ValueError, match="the shape of its weights depends on a size that the config leaves open"):
        build(layer("LocallyConnected1D", filters=3, kernel_size=2), shape=(None, None, 2))
