"""`net.set_trainable`: layers frozen and unfrozen, the rules that then hold, and what `save` writes of them."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import regtorch as rt
from keras_json import START, build, call, dense, functional, layer

L2 = {"class_name": "L2", "config": {"l2": 0.5}}


def net(**outer: Any) -> tuple[Any, list[Any]]:
    """start -> base (first, norm) -> last, with a penalty on both kernels and a constraint on the first."""
    base = functional(
        (layer("InputLayer", "in", batch_shape=[None, 4]), []),
        (dense("first", 4, kernel_regularizer=L2, kernel_constraint="non_neg"), [call("in")]),
        (layer("BatchNormalization", "norm/a", trainable=True), [call("first")]),
        name="base",
    )
    config = functional(START, (base, [call("start")]), (dense("last", 2, kernel_regularizer=L2), [call("base")]))
    config["config"] |= outer
    return rt.keras.from_config(config)


def trained(model: nn.Module) -> set[str]:
    return {name.rpartition(".")[0] for name, p in model.named_parameters() if p.requires_grad}


ALL = {"base.first", "base.norm_a", "last"}


@pytest.mark.parametrize(
    ("names", "left"),
    [
        ([], set()),
        (["base"], {"last"}),
        (["base.first"], {"base.norm_a", "last"}),
        (["base.norm/a"], {"base.first", "last"}),
        (["base.*", "last"], set()),
        (["*a*"], set()),
        (["l*"], {"base.first", "base.norm_a"}),
    ],
)
def test_which_layers_are_frozen_and_unfrozen(names: list[str], left: set[str]):
    model, rules = net()
    held = model.set_trainable(False, *names)
    assert trained(model) == left
    assert model.base.norm_a.trainable is ("base.norm_a" in left)
    kernels = [f"name:{name}.weight" for name in ("base.first", "last") if name in left]
    assert [rule.select for rule in held if isinstance(rule, rt.L2)] == ["|".join(kernels)] * bool(kernels)
    assert [rule.select for rule in held if isinstance(rule, rt.NonNeg)] == kernels[:1] * ("base.first" in left)
    assert model.set_trainable(True, *names) == rules
    assert trained(model) == ALL
    assert model.base.norm_a.trainable


def test_rules_of_layers_that_the_file_had_frozen():
    model, rules = net(trainable=False)
    assert rules == []
    assert model.set_trainable(True, "last") == [rt.L2(0.5, select="name:last.weight")]
    assert trained(model) == {"last"}


def test_frozen_layers_stay_as_they_are_under_any_optimizer():
    model, rules = net()
    x = torch.randn(8, 4)
    optimizers = [torch.optim.AdamW(model.parameters(), weight_decay=0.1), rt.keras.AdamW(model, weight_decay=0.1)]
    model(x).sum().backward()
    rules = model.set_trainable(False, "base")
    before = {name: value.clone() for name, value in model.base.state_dict().items()}
    expected = model.eval()(x)
    torch.testing.assert_close(model.train()(x), expected)  # batch norm by its moving averages
    for optimizer in optimizers:
        loss = model(x).square().sum() + sum(rule.on(model)() for rule in rules)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert all(torch.equal(value, before[name]) for name, value in model.base.state_dict().items())
    model.set_trainable(True)
    for optimizer in optimizers:
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()
    now = model.base.state_dict()
    assert not any(
        torch.equal(now[name], before[name]) for name in ("first.weight", "norm_a.weight", "norm_a.running_mean")
    )


def test_names_that_are_wrong_change_nothing():
    model, _ = net()
    with pytest.raises(
        ValueError, match=r"no layer is named 'lest' \(did you mean 'last'\?\); the layers are base, last"
    ):
        model.set_trainable(False, "base", "lest")
    with pytest.raises(TypeError, match="give the names of layers, received"):
        model.set_trainable(False, model.last)
    with pytest.raises(TypeError, match="set_trainable: trainable must be True or False"):
        model.set_trainable("last")
    assert trained(model) == ALL


def written(model: nn.Module, folder: Path) -> dict[str, Any]:
    rt.keras.save(model, folder / "model.keras")
    with zipfile.ZipFile(folder / "model.keras") as archive:
        return json.loads(archive.read("config.json"))


def test_save_writes_the_flags(tmp_path: Path):
    model, _ = net(trainable=False)
    assert written(model, tmp_path)["config"]["trainable"] is False
    model.set_trainable(True, "last", "base.first")
    again = written(model, tmp_path)["config"]
    assert again["trainable"] is True
    flags = {part["name"]: part["config"].get("trainable") for part in again["layers"][1]["config"]["layers"]}
    assert flags == {"in": None, "first": True, "norm/a": False}
    model.base.requires_grad_(False)
    loaded = rt.keras.load(tmp_path / "model.keras").net
    assert trained(loaded) == {"last", "base.first"}
    assert not loaded.base.norm_a.trainable
    rt.keras.save(model, tmp_path / "model.keras")
    assert trained(rt.keras.load(tmp_path / "model.keras").net) == {"last"}


@pytest.mark.parametrize("frozen", ["forward_layer", "backward_layer"])
def test_save_writes_which_direction_trains(frozen: str, tmp_path: Path):
    """Also where the config has one layer for both."""
    lstm = layer("LSTM", "lstm", units=2)
    model, _ = build(layer("Bidirectional", layer=lstm), shape=(None, 3, 4))
    model.set_trainable(False, f"it.{frozen}")
    other = "it.backward_layer.cell" if frozen == "forward_layer" else "it.forward_layer.cell"
    assert trained(model) == {other}
    flags = [written(model, tmp_path)["config"]["layers"][1]["config"][key] for key in ("layer", "backward_layer")]
    assert [flag["config"]["trainable"] for flag in flags] == [frozen != "forward_layer", frozen != "backward_layer"]
    assert trained(rt.keras.load(tmp_path / "model.keras").net) == {other}


@pytest.mark.parametrize("name", ["model.keras", "net.weights.h5"])
def test_save_refuses_a_net_that_was_edited(tmp_path: Path, name: str):
    model, _ = net()
    model.last = nn.Linear(4, 3)
    with pytest.raises(ValueError, match=r"save: 'last' was Dense\(.*out_features=2.*\) and is Linear\(.*torch.save"):
        rt.keras.save(model, tmp_path / name)
    model, _ = build(layer("Dropout", rate=0.5))
    model.it.p = 0.1
    with pytest.raises(ValueError, match=r"'it' was Dropout\(p=0.5.*\) and is Dropout\(p=0.1"):
        rt.keras.save(model, tmp_path / name)
    model.it = nn.Identity()
    with pytest.raises(ValueError, match=r"is Identity"):
        rt.keras.save(model, tmp_path / name)
    model, _ = build(dense())
    model.more = nn.Dropout(0.5)
    with pytest.raises(ValueError, match=r"'more' was absent and is Dropout"):
        rt.keras.save(model, tmp_path / name)
    assert not list(tmp_path.iterdir())
