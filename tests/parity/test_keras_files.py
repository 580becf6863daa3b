"""Files of live Keras 3, there and back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from comparing import Compare
from keras_file_nets import NETS
from test_keras_nets import as_list, batch

import keras
import regtorch as rt

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras's, under NumPy 2
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5"),
]
FORMATS = ("model.keras", "model.h5", "model.weights.h5")


def built(name: str) -> Any:
    """Keras's net with random weights."""
    keras.utils.set_random_seed(0)
    theirs = NETS[name]()
    rng = np.random.default_rng(1)
    theirs.set_weights([w + 0.1 * abs(rng.standard_normal(w.shape)) for w in theirs.get_weights()])
    return theirs


def save(model: Any, path: Path) -> Path:
    if path.name.endswith(".weights.h5"):
        model.save_weights(path)
    else:
        model.save(path)
    return path


def outputs(model: Any, given: list[torch.Tensor]) -> list[torch.Tensor]:
    return as_list(model(given if len(given) > 1 else given[0], training=False))


@pytest.mark.parity("files: outputs of a net that is loaded", "Keras 3 (torch), float64")
@pytest.mark.parametrize("file", FORMATS)
@pytest.mark.parametrize("name", NETS)
def test_a_loaded_net_is_kerass(name: str, file: str, tmp_path: Path, compare: Compare, floatx: Callable[[str], None]):
    floatx("float64")
    theirs = built(name)
    path = save(theirs, tmp_path / file)
    if file == "model.weights.h5":
        net = rt.keras.load_weights(rt.keras.from_config(theirs.to_json())[0], path)
    else:
        net = rt.keras.load(path).net
    for ours, expected in zip(rt.keras.get_weights(net), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, expected)
    given, x = batch(theirs, 0, "float64", name != "channels_first")
    for ours, expected in zip(as_list(net.eval()(*x)), outputs(theirs, given), strict=True):
        compare(ours, expected, within=1e-12)


@pytest.mark.parity("files: outputs of a net that was saved here", "Keras 3 (torch), float64")
@pytest.mark.parametrize("file", ["ours.keras", "ours.weights.h5"])
@pytest.mark.parametrize("name", NETS)
def test_keras_reads_what_is_saved(
    name: str, file: str, tmp_path: Path, compare: Compare, floatx: Callable[[str], None]
):
    floatx("float64")
    theirs = built(name)
    net = rt.keras.load(save(theirs, tmp_path / "model.keras")).net
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(1.5)
    rt.keras.save(net, tmp_path / file)
    if file == "ours.keras":
        again = keras.models.load_model(tmp_path / file)
    else:
        again = NETS[name]()
        again.load_weights(tmp_path / file)
    for ours, expected in zip(rt.keras.get_weights(net), again.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, expected)
    given, x = batch(theirs, 0, "float64", name != "channels_first")
    for ours, expected in zip(as_list(net.eval()(*x)), outputs(again, given), strict=True):
        compare(ours, expected, within=1e-12)
