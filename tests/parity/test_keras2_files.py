"""Files that Keras 2.14 wrote, in float64: record_keras2_files.py says how."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from comparing import Compare
from record_keras2_files import CASES

import regtorch as rt

FOLDER = Path(__file__).with_name("keras-2.14-files")


def recorded(name: str, prefix: str) -> list[Any]:
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return [arrays[f"{prefix}{i}"] for i in range(len(arrays)) if f"{prefix}{i}" in arrays]


def inputs(name: str) -> list[torch.Tensor]:
    given = [torch.from_numpy(a) for a in recorded(name, "x")]
    return [a.movedim(-1, 1) if a.ndim == 4 else a for a in given]


def as_list(outputs: Any) -> list[torch.Tensor]:
    return list(outputs) if isinstance(outputs, tuple) else [outputs]


def check(net: torch.nn.Module, name: str, compare: Compare) -> None:
    for ours, expected in zip(rt.keras.get_weights(net), recorded(name, "start"), strict=True):
        np.testing.assert_array_equal(ours, expected)
    with torch.no_grad():
        for ours, expected in zip(as_list(net.eval()(*inputs(name))), recorded(name, "out"), strict=True):
            compare(ours, expected, within=1e-12)


@pytest.mark.parity("files of Keras 2: outputs", "Keras 2.14 recorded, float64")
@pytest.mark.parametrize("file", ["keras", "h5"])
@pytest.mark.parametrize("name", CASES)
def test_a_loaded_net_is_kerass(name: str, file: str, compare: Compare):
    check(rt.keras.load(FOLDER / f"{name}.{file}").net, name, compare)


@pytest.mark.parity("files of Keras 2: outputs", "Keras 2.14 recorded, float64")
@pytest.mark.parametrize("file", ["nested-weights.h5", "nested.weights.h5", "nested.h5", "nested.keras"])
def test_weights_alone(file: str, compare: Compare):
    net = rt.keras.load(FOLDER / "nested.keras").net
    for p in net.parameters():
        torch.nn.init.zeros_(p)
    check(rt.keras.load_weights(net, FOLDER / file), "nested", compare)


@pytest.mark.parametrize("file", ["mlp.keras", "mlp.h5"])
def test_a_net_of_ones_own(file: str):
    nn = torch.nn
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.BatchNorm1d(5, eps=1e-3), nn.Linear(5, 3)).double()
    rt.keras.load_weights(model, FOLDER / file)
    with torch.no_grad():
        np.testing.assert_allclose(model.eval()(*inputs("mlp")), recorded("mlp", "out")[0], rtol=1e-12)


@pytest.mark.parity("files of Keras 2: outputs", "Keras 2.14 recorded, float64")
@pytest.mark.parametrize("name", CASES)
def test_back_to_a_file(name: str, tmp_path: Path, compare: Compare):
    net = rt.keras.load(FOLDER / f"{name}.h5").net
    with pytest.raises(
        ValueError, match=r"save: the net's config is of Keras 2, .* rt.keras.save\(net, 'model.weights.h5"
    ):
        rt.keras.save(net, tmp_path / "ours.keras")
    rt.keras.save(net, tmp_path / "ours.weights.h5")
    assert [file.name for file in tmp_path.iterdir()] == ["ours.weights.h5"]
    for p in net.parameters():
        torch.nn.init.zeros_(p)
    check(rt.keras.load_weights(net, tmp_path / "ours.weights.h5"), name, compare)


@pytest.mark.parity("files of Keras 2: weights after two further steps", "Keras 2.14 recorded, float64")
@pytest.mark.parametrize("file", ["keras", "h5"])
@pytest.mark.parametrize("name", CASES)
def test_training_goes_on(name: str, file: str, compare: Compare):
    loaded = rt.keras.load(FOLDER / f"{name}.{file}")
    optimizer = loaded.optimizer
    assert optimizer is not None
    if (name, file) == ("words", "keras"):  # Keras 2 writes no state of its optimizers.legacy there
        assert optimizer.iterations == 0
        return
    assert optimizer.iterations == 2
    bound = [rule.on(loaded.net) for rule in loaded.rules]
    for b in bound:
        b.attach(optimizer)
    for _ in range(2):
        optimizer.zero_grad()
        outputs = as_list(loaded.net(*inputs(name)))
        targets = [torch.from_numpy(y) for y in recorded(name, "y")]
        sum((a - b).square().mean() for a, b in zip(outputs, targets, strict=True)).backward()
        optimizer.step()
    # Together: a bias before a batch norm is rounding alone.
    ends = (rt.keras.get_weights(loaded.net), recorded(name, "end"))
    compare(*(np.concatenate([a.ravel() for a in arrays]) for arrays in ends), within=1e-10)
