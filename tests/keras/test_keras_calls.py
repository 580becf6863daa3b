"""Calls with dicts of inputs and outputs, keywords, masks, and layers of one's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import regtorch as rt
from keras_json import START, build, dense, functional, layer


def two_inputs(outputs: Any = None) -> dict[str, Any]:
    names = ("a", "b")
    starts = [({**layer("InputLayer", name, batch_shape=[None, 4])}, []) for name in names]
    config = functional(*starts, (layer("Concatenate", "both"), [[["a", 0, 0, {}], ["b", 0, 0, {}]]]))
    config["config"]["input_layers"] = {name: [name, 0, 0] for name in names}
    if outputs is not None:
        config["config"]["output_layers"] = outputs
    return config


def test_inputs_by_name():
    net, _ = rt.keras.from_config(two_inputs())
    a, b = torch.randn(2, 4), torch.randn(2, 4)
    torch.testing.assert_close(net({"b": b, "a": a}), torch.cat([a, b], 1))
    torch.testing.assert_close(net(a, b), torch.cat([a, b], 1))
    with pytest.raises(ValueError, match="the net takes a, b; b is missing"):
        net({"a": a})


def test_outputs_by_name():
    net, _ = rt.keras.from_config(two_inputs({"sum": ["both", 0, 0], "again": ["a", 0, 0]}))
    a, b = torch.randn(2, 4), torch.randn(2, 4)
    found = net(a, b)
    assert list(found) == ["again", "sum"]  # as Keras sorts them
    torch.testing.assert_close(found["again"], a)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's, under NumPy 2
def test_an_output_by_name_of_a_nested_net():
    """Its index in the JSON counts the sorted names."""
    keras = pytest.importorskip("keras")
    x = keras.Input((3,))
    inner = keras.Model(x, {"zeta": keras.layers.Dense(2)(x), "alpha": keras.layers.Dense(2)(x)})
    model = keras.Model(x, inner(x)["zeta"])
    net, _ = rt.keras.from_config(model.to_json())
    rt.keras.load_weights(net, model.get_weights())
    given = torch.randn(4, 3)
    torch.testing.assert_close(net(given), torch.as_tensor(model(given.numpy())))


class Twice(nn.Module):
    """A layer with a weight."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.scale = nn.Linear(size, size)

    def forward(self, x: Tensor) -> Tensor:
        return 2 * self.scale(x)


def own(name: str = "Twice", **config: Any) -> dict[str, Any]:
    return {**layer(name, **config), "module": "mine", "registered_name": f"Mine>{name}"}


def test_a_layer_of_ones_own():
    net, _ = build(own(size=4), dense("head"), custom_objects={"Twice": lambda config: Twice(config["size"])})
    x = torch.randn(3, 4)
    torch.testing.assert_close(net.get_submodule("it")(x), 2 * net.get_submodule("it.scale")(x))
    assert [w.shape for w in rt.keras.get_weights(net)] == [(4, 4), (4,), (4, 3), (3,)]


def test_a_layer_of_ones_own_that_is_no_module():
    with pytest.raises(TypeError, match=r"custom_objects\['Twice'\] must return a module for the layer 'it', got 3"):
        build(own(), custom_objects={"Twice": lambda config: 3})


@pytest.mark.parametrize("key", ["it", "square", "Lambda"])
def test_a_lambda(key: str):
    function = {"class_name": "function", "config": "square", "registered_name": "square", "module": "builtins"}
    config = layer("Lambda", function=function, arguments={})
    x = torch.randn(3, 4)

    class Square(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.square()

    net, _ = build(config, custom_objects={key: lambda config: Square()})
    torch.testing.assert_close(net(x), x.square())
    with pytest.raises(ValueError, match=r"layer 'it' \(Lambda\) is not supported"):
        build(config)


def test_a_mask_that_is_given():
    start = (layer("InputLayer", "start", batch_input_shape=[None, 4, 2]), [])
    mask = (layer("InputLayer", "mask", batch_input_shape=[None, 4], dtype="bool"), [])
    pooled = (layer("GlobalAveragePooling1D"), [[["start", 0, 0, {"mask": ["mask", 0, 0]}]]])
    config = functional(start, mask, pooled)
    config["config"]["input_layers"] = [["start", 0, 0], ["mask", 0, 0]]
    net, _ = rt.keras.from_config(config)
    x = torch.randn(3, 4, 2)
    kept = torch.tensor([[1, 1, 0, 0]]).expand(3, 4)
    torch.testing.assert_close(net(x, kept), x[:, :2].mean(1))


def test_keywords_that_a_layer_does_not_take():
    with pytest.raises(ValueError, match=r"layer 'it' \(Dense\): it is called with scale, which is not supported"):
        rt.keras.from_config(functional(START, (dense(), [[["start", 0, 0, {"scale": 2.0}]]])))


def test_a_nested_net_called_with_a_dict():
    inner = two_inputs()
    inner["config"]["name"] = "inner"
    given = {name: {"class_name": "__keras_tensor__", "config": {"keras_history": ["start", 0, 0]}} for name in "ba"}
    config = functional(START, (inner, [{"args": [given], "kwargs": {}}]))
    config["config"]["output_layers"] = [["inner", 1, 0]]
    net, _ = rt.keras.from_config(config)
    x = torch.randn(2, 4)
    torch.testing.assert_close(net(x), torch.cat([x, x], 1))
