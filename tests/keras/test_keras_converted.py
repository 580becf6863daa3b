"""A net that was converted to another dtype still takes whole numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import regtorch as rt
from keras_json import build, call, dense, functional, layer


def chain(*layers: dict[str, Any]) -> dict[str, Any]:
    return {"class_name": "Sequential", "config": {"name": "net", "layers": list(layers)}}


IMAGES = layer("InputLayer", "x", batch_shape=[None, 4, 4, 3], dtype="uint8")
SCALED = layer("Rescaling", "scaled", scale=1 / 255)
CONV = layer("Conv2D", "conv", filters=2, kernel_size=3)
NETS: dict[str, list[Any]] = {
    "Rescaling": [IMAGES, SCALED, CONV],
    "a nested net": [IMAGES, {**chain(SCALED), "name": "scale"}, CONV],
    "Normalization": [IMAGES, layer("Normalization", "norm", mean=[1.0, 2.0, 3.0], variance=[1.0, 2.0, 3.0]), CONV],
    "CenterCrop": [IMAGES, layer("Resizing", "crop", height=3, width=3), CONV],
    "CategoryEncoding": [
        layer("InputLayer", "x", batch_shape=[None, 1], dtype="int32"),
        layer("CategoryEncoding", "hot", num_tokens=5, output_mode="one_hot"),
        dense(),
    ],
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", NETS)
def test_whole_numbers_enter_a_converted_net(name: str, dtype: torch.dtype):
    net, _ = rt.keras.from_config(chain(*NETS[name]), seed=1)
    (_, *shape) = net.input_shapes[0]
    x = torch.randint(5, (2, *(n or 1 for n in shape)), dtype=torch.uint8)
    before = net(x)
    after = net.to(dtype)(x)
    assert after.dtype == dtype
    torch.testing.assert_close(after.float(), before, rtol=0.05, atol=0.05)


def test_quotients_of_whole_numbers_enter_a_converted_net():
    start = layer("InputLayer", "x", batch_shape=[None, 3], dtype="int32")
    tensor = {"class_name": "__keras_tensor__", "config": {"keras_history": ["x", 0, 0]}}
    divided = {**layer("TrueDivide", "divided"), "module": "keras.src.ops.numpy", "registered_name": "TrueDivide"}
    node = {"args": [tensor, 255.0], "kwargs": {}}
    config = functional((start, []), (divided, [node]), (dense("last"), call("divided")))
    net, _ = rt.keras.from_config(config, seed=1)
    x = torch.tensor([[0, 100, 255]])
    before = net(x)
    torch.testing.assert_close(net.double()(x).float(), before)


def test_a_net_without_weights_gives_the_dtype_of_its_config():
    net, _ = build(layer("Rescaling", "scaled", scale=0.5), shape=(None, 3))
    assert net.double()(torch.ones(1, 3)).dtype == torch.float32
