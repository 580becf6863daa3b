"""Layers as activations of layers: `Dense(3, activation=LeakyReLU())`."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import regtorch as rt
from keras_json import build, layer

L2 = {"class_name": "L2", "config": {"l2": 1.0}}
SAME: list[tuple[dict[str, Any], int]] = [
    (layer("LeakyReLU", "act", negative_slope=0.1), 3),
    (layer("LeakyReLU", "act", alpha=0.1), 2),
    (layer("ReLU", "act", max_value=0.5, negative_slope=0.2, threshold=0.1), 3),
    (layer("ELU", "act", alpha=0.5), 3),
    (layer("ThresholdedReLU", "act", theta=0.3), 2),
    (layer("Softmax", "act", axis=-1), 3),
    (layer("Activation", "act", activation="tanh"), 3),
    (layer("Activation", "act", activation=layer("LeakyReLU", "inner")), 3),
]
LAYERS: dict[str, tuple[dict[str, Any], tuple[int | None, ...]]] = {
    "Dense": (layer("Dense", "it", units=3), (None, 4)),
    "Conv2D": (layer("Conv2D", "it", filters=3, kernel_size=2), (None, 4, 5, 2)),
    "EinsumDense": (layer("EinsumDense", "it", equation="ab,bcd->acd", output_shape=[2, 3]), (None, 4)),
    "Activation": (layer("Activation", "it"), (None, 4)),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(("given", "version"), SAME)
def test_an_activation_is_the_layer_after(given: dict[str, Any], version: int, name: str):
    config, shape = LAYERS[name]
    inside = {**config, "config": {**config["config"], "activation": given}}
    before = {**config, "config": {**config["config"], "activation": "linear"}}
    net, _ = build(inside, shape=shape, version=version, seed=1)
    other, _ = build(before, given, shape=shape, version=version, seed=1)
    x = torch.randn(3, *(n or 1 for n in net.input_shapes[0][1:]))
    torch.testing.assert_close(net(x), other(x))


def test_in_a_cell():
    given = {"activation": layer("LeakyReLU", "a"), "recurrent_activation": layer("Activation", "b", activation="tanh")}
    net, _ = build(layer("LSTM", units=2, **given), shape=(None, 4, 3), version=3)
    cell: Any = net.get_submodule("it.cell")
    assert (cell.activation.negative_slope, type(cell.recurrent_activation)) == (0.3, torch.nn.Tanh)


def test_logits_leave_it_out():
    given = layer("Dense", units=3, activation=layer("Softmax", "act"))
    net, logits = (build(given, logits=logits, seed=1)[0] for logits in (False, True))
    x = torch.randn(3, 4)
    torch.testing.assert_close(logits(x).softmax(-1), net(x))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (layer("PReLU", "act"), "activation .*'PReLU'.* is not supported; supported are linear"),
        (layer("Softmax", "act", axis=0), "its activation Softmax: axis=0 is not supported"),
        (layer("ReLU", "act", negative_slope="a"), "its activation ReLU: negative_slope must be"),
        (
            layer("ELU", "act", activity_regularizer=L2),
            "its activation ELU: an activity_regularizer of an activation is not supported",
        ),
        ({**layer("ELU", "act"), "module": "mine", "registered_name": "p>ELU"}, "activation .* is not supported"),
    ],
)
def test_refused(given: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=rf"^from_config: layer 'it' \(Dense\): {message}"):
        build(layer("Dense", units=3, activation=given))


def test_the_config_keeps_the_layer():
    given = layer("LeakyReLU", "act", negative_slope=0.1)
    net: Any
    net, _ = rt.keras.from_config(build(layer("Dense", units=3, activation=given))[0].config)
    assert net.config["config"]["layers"][1]["config"]["activation"] == given
