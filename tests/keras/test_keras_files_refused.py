"""What `load`, `load_weights` and `save` refuse: the message names the file and says what to do."""

from __future__ import annotations

import contextlib
import re
import sys
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch

import regtorch as rt
from hostile_keras_files import CASES
from keras_file_makers import Make, good, legacy, net

pytest.importorskip("h5py")


@pytest.mark.sampled(20)
@pytest.mark.filterwarnings("ignore:Duplicate name")  # meant here
@pytest.mark.parametrize("name", CASES)
def test_each_file_is_refused_in_a_sentence(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.keras"
    part, make = CASES[name]
    make(path)
    if not path.exists() and name == "ONNX":
        path = tmp_path / "model.onnx"
    with pytest.raises(ValueError, match=part) as raised:
        rt.keras.load(path)
    message = str(raised.value)
    assert message.startswith(f"load: {path}")
    assert len(message) < 1600
    assert "\n" not in message
    assert not (tmp_path / "it-ran").exists()


def test_weights_in_several_files(tmp_path: Path):
    path = tmp_path / "model.weights.json"
    path.write_text('{"metadata": {}, "weight_map": {}}')
    with pytest.raises(ValueError, match=r"the list of weights that lie in several files, .* model.save_weights\("):
        rt.keras.load_weights(net(), path)


def test_a_missing_file(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"load: there is no file .*model\.keras"):
        rt.keras.load(tmp_path / "model.keras")


@pytest.mark.parametrize("path", [3, None, b"model.keras", ["model.keras"]])
def test_not_a_path(path: Any):
    with pytest.raises(TypeError, match=r"load: path must be a file's path, received \w+; write the net"):
        rt.keras.load(path)


@pytest.mark.parametrize("name", ["compile", "finite", "logits"])
def test_flags(name: str, tmp_path: Path):
    good(tmp_path / "model.keras")
    with pytest.raises(TypeError, match=f"{name} must be True or False, received 'no'"):
        rt.keras.load(tmp_path / "model.keras", **{name: "no"})


def test_nothing_is_loaded_of_a_file_that_is_refused(tmp_path: Path):
    model = net()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    path = tmp_path / "model.keras"
    for name in ("another shape", "a weight too many", "not a number", "a flipped byte"):
        CASES[name][1](path)
        with pytest.raises(ValueError, match=re.escape(f"load_weights: {path}")):
            rt.keras.load_weights(model, path)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_non_finite_numbers_on_request(tmp_path: Path):
    CASES["not a number"][1](tmp_path / "model.keras")
    loaded = rt.keras.load(tmp_path / "model.keras", finite=False)
    assert loaded.net.get_parameter("first.weight").isnan().any()


def test_h5py_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    good(tmp_path / "model.keras")
    monkeypatch.setitem(sys.modules, "h5py", None)
    for call in (lambda: rt.keras.load(tmp_path / "model.keras"), lambda: rt.keras.save(net(), tmp_path / "a.keras")):
        with pytest.raises(ModuleNotFoundError, match=r"h5py is not installed; .* pip install 'regtorch\[keras\]'"):
            call()


def test_a_model_h5_written_by_hand(tmp_path: Path):
    legacy()(tmp_path / "model.h5")
    loaded = rt.keras.load(tmp_path / "model.h5")
    assert loaded.net.version == 2
    assert loaded.optimizer is None
    np.testing.assert_allclose(loaded.net(torch.ones(1, 3)).detach(), [[12.0, 12.0]])


def test_weights_for_a_net_of_ones_own(tmp_path: Path):
    own = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    saved = net()
    x = torch.randn(5, 3)
    for name in ("model.keras", "model.weights.h5"):
        rt.keras.save(saved, tmp_path / name)
    torch.testing.assert_close(rt.keras.load_weights(own, tmp_path / "model.keras")(x), saved(x))
    again = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    assert not hasattr(rt.keras.load_weights(again, tmp_path / "model.weights.h5"), "keras_parts")
    torch.testing.assert_close(again(x), saved(x))
    with pytest.importorskip("h5py").File(tmp_path / "model.weights.h5", "a") as file:
        file["metrics/mean/vars/0"] = 3.0  # as Keras 2 stores those of a subclassed net
    rt.keras.load_weights(again, tmp_path / "model.weights.h5")
    other = torch.nn.ModuleDict({"first": torch.nn.Linear(3, 4), "second": torch.nn.Linear(4, 2)})
    with pytest.raises(ValueError, match=r"it lacks vars/0, .* has besides layers/.*attributes of the same names"):
        rt.keras.load_weights(other, tmp_path / "model.weights.h5")


def test_what_save_refuses(tmp_path: Path):
    with pytest.raises(TypeError, match=r"save: net must be a whole net of .* received Linear; give rt.keras.get_wei"):
        rt.keras.save(torch.nn.Linear(2, 1), tmp_path / "model.keras")
    for name in ("model.h5", "model", "model.pt"):
        with pytest.raises(ValueError, match=rf"must end in .keras or .weights.h5, received '{name}'"):
            rt.keras.save(net(), tmp_path / name)
    model = net()
    with pytest.raises(FileNotFoundError, match=r"save: there is no folder .*nowhere$"):
        rt.keras.save(model, tmp_path / "nowhere" / "model.keras")
    loaded: Any = rt.keras.files.Loaded(model, [], None, None, None)
    with pytest.raises(TypeError, match=r"save: net must be the net alone, .* give loaded.net"):
        rt.keras.save(loaded, tmp_path / "model.keras")
    other: Any = torch.optim.Adam(model.parameters())
    with pytest.raises(TypeError, match=r"save: optimizer must be one of rt.keras, .* received torch.optim.adam.Adam"):
        rt.keras.save(model, tmp_path / "model.keras", optimizer=other)
    with pytest.raises(ValueError, match="save: the net was not compiled in Keras, .* no settings for Adam"):
        rt.keras.save(model, tmp_path / "model.keras", optimizer=rt.keras.Adam(model))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (lambda model: rt.keras.SGD(model), "SGD"),
        (lambda model: rt.keras.Adam(model, betas=(0.8, 0.999)), r"Adam with betas=\(0.8, 0.999\)"),
        (lambda model: rt.keras.Adam(model, clipnorm=1.0), "Adam with other shared settings"),
    ],
)
def test_save_with_another_optimizer_than_keras_compiled(given: Any, what: str, tmp_path: Path):
    model = net()
    model.config = {**model.config, "compile_config": {"optimizer": "adam", "loss": "mse"}}
    with pytest.raises(ValueError, match=f"save: {what} is not the optimizer that the net was compiled with"):
        rt.keras.save(model, tmp_path / "model.keras", optimizer=given(model))
    assert list(tmp_path.iterdir()) == []
    rt.keras.save(model, tmp_path / "model.keras", optimizer=rt.keras.Adam(model, lr=0.5))
    optimizer = rt.keras.load(tmp_path / "model.keras").optimizer
    assert type(optimizer) is rt.keras.Adam
    assert optimizer.param_groups[0]["lr"] == 0.5


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("make", [good, legacy()])
def test_bytes_changed_at_random(make: Make, seed: int, tmp_path: Path):
    """The file is refused in a sentence, or what was changed does not matter."""
    path, generator = tmp_path / "model", Random(seed)
    make(path.with_suffix(".keras"))
    content = bytearray(path.with_suffix(".keras").read_bytes())
    for _ in range(generator.choice([1, 3, 10])):
        at = generator.randrange(len(content))
        piece = generator.choice([bytes(8), b"\xff" * 8, generator.randbytes(1), b""])
        content[at : at + generator.choice([0, 1, 8])] = piece
    path.write_bytes(content)
    with contextlib.suppress(ValueError, TypeError):
        assert rt.keras.load(path).net(torch.ones(2, 3)).shape == (2, 2)
