"""State that is no weight goes to files and comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import regtorch as rt
from keras_json import build, dense, layer


def adapted() -> Any:
    net: Any
    net, _ = build(layer("Normalization", "scaled", axis=-1), dense("last"), version=3)
    rt.keras.load_weights(net.scaled, [[1.0, 2.0, 3.0, 4.0], [1.0, 4.0, 9.0, 16.0], 50])
    return net


@pytest.mark.parametrize("name", ["net.keras", "net.weights.h5"])
def test_what_a_normalization_adapted_to(name: str, tmp_path: Path):
    net = adapted()
    rt.keras.save(net, tmp_path / name)
    again: Any
    if name.endswith(".keras"):
        again = rt.keras.load(tmp_path / name).net
    else:
        again, _ = rt.keras.from_config(net.config)
        rt.keras.load_weights(again, tmp_path / name)
    x = torch.randn(3, 4)
    torch.testing.assert_close(again(x), net(x))
    assert again.scaled.count == 50
