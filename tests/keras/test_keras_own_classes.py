"""A user-defined class or function is never mistaken for Keras's, whatever its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import regtorch as rt
from keras_json import START, build, call, dense, functional, layer, sequential

KERAS_3 = {
    "module": None,
    "registered_name": "{}",
}  # of a class in the program itself, as Keras 2.13 and later write it
REGISTERED = {"module": None, "registered_name": "Custom>{}"}
OF_A_MODULE = {"module": "mine.layers", "registered_name": "{}"}
FORMS = [KERAS_3, REGISTERED, OF_A_MODULE, {"registered_name": "mine>{}"}, {"module": "keras_layers_of_mine"}]


def own(config: dict[str, Any], form: dict[str, Any]) -> dict[str, Any]:
    return config | {k: v and v.format(config["class_name"]) for k, v in form.items()}


@pytest.mark.parametrize("form", FORMS)
def test_layers(form: dict[str, Any]):
    with pytest.raises(ValueError, match=r"layer 'it' \(Dense\) is of a user-defined class, not Keras's"):
        build(own(dense(), form))
    with pytest.raises(ValueError, match=r"layer 'soft' \(Softmax\) is of a user-defined class"):
        build(dense(), own(layer("Softmax", "soft"), form), logits=True)
    with pytest.raises(ValueError, match=r"layer 'start' \(InputLayer\) is of a user-defined class"):
        rt.keras.from_config(functional((own(START[0], form), []), (dense(), [call("start")])))


def test_before_keras_2_13_a_registered_name_holds_its_package():
    with pytest.raises(ValueError, match=r"layer 'it' \(mine>Dense\) is of a user-defined class"):
        build({**dense(), "class_name": "mine>Dense"})


@pytest.mark.parametrize("form", FORMS)
def test_nets(form: dict[str, Any]):
    inner = sequential(dense())
    inner["config"]["name"] = "inner"
    with pytest.raises(ValueError, match="the net 'inner' is of a user-defined class '(mine>)?Sequential': the JSON"):
        rt.keras.from_config(own(inner, form))
    with pytest.raises(ValueError, match=r"layer 'inner' \(Sequential\) is of a user-defined class"):
        rt.keras.from_config(functional(START, (own(inner, form), [call("start")])))
    deeper = functional(START, (sequential(own(dense(), form)), [call("start")]))
    with pytest.raises(ValueError, match=r"layer 'net.it' \(Dense\) is of a user-defined class"):
        rt.keras.from_config(deeper)


@pytest.mark.parametrize("form", FORMS)
def test_a_net_that_only_trains_in_its_own_way(form: dict[str, Any], tmp_path: Path):
    """As in `class Mine(keras.Model)` with a `train_step`, made from inputs and outputs."""
    for net in (functional(START, (dense(), [call("start")])), sequential(dense(), shape=(None, 4))):
        mine = own({**net, "class_name": "Mine"}, form)
        with pytest.raises(ValueError, match=r"'(mine>)?Mine'.*give custom_objects={'Mine': rt.keras.from_config}"):
            rt.keras.from_config(mine)
        model, _ = rt.keras.from_config(mine, custom_objects={"Mine": rt.keras.from_config})
        assert model.it.in_features == 4
    rt.keras.save(model, tmp_path / "model.keras")
    again = rt.keras.load(tmp_path / "model.keras").net
    assert torch.equal(again.it.weight, model.it.weight)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("setting", "name"),
    [
        ("kernel_regularizer", "L2"),
        ("activity_regularizer", "L1"),
        ("kernel_initializer", "Zeros"),
        ("kernel_constraint", "NonNeg"),
        ("activation", "function"),
        ("dtype", "DTypePolicy"),
    ],
)
def test_settings(setting: str, name: str, form: dict[str, Any]):
    config: Any = {"activation": "relu", "dtype": {"name": "float32"}}.get(setting, {})
    with pytest.raises(ValueError, match=r"layer 'it' .Dense.: .*'(\w+>)?(\w+)' is .* user-defined"):
        build(dense(**{setting: own({"class_name": name, "config": config}, form)}))


@pytest.mark.parametrize("form", FORMS)
def test_identifiers(form: dict[str, Any]):
    for make, name in ((rt.keras.penalty, "L2"), (rt.keras.constraint, "NonNeg")):
        with pytest.raises(ValueError, match=f"'{name}' is a user-defined class"):
            make(own({"class_name": name, "config": {}}, form))
    with pytest.raises(ValueError, match="optimizer: 'Adam' is a user-defined class"):
        rt.keras.optimizer(own({"class_name": "Adam", "config": {}}, form), [nn.Parameter(torch.ones(1))])


def test_user_defined_functions():
    function = {"module": "builtins", "class_name": "function", "config": "relu", "registered_name": "function"}
    with pytest.raises(
        ValueError, match="activation 'relu' is a user-defined function.*give custom_objects={'relu': a function"
    ):
        build(dense(activation=function))
    with pytest.raises(ValueError, match="penalty: 'relu' is a user-defined function"):
        build(dense(kernel_regularizer=function))
    kerass = {"module": "keras.activations", "class_name": "function", "config": "relu", "registered_name": "relu"}
    net, _ = build(dense(activation=kerass))
    assert isinstance(net.get_submodule("it").activation, nn.ReLU)


@pytest.mark.parametrize(
    "module", ["keras.layers", "tensorflow.keras.layers", "tf_keras.layers", "keras.src.layers.core"]
)
def test_kerass_classes_are_accepted(module: str):
    marks = {"module": module, "registered_name": None}
    net, rules = build({**dense(kernel_regularizer={"class_name": "L2", "config": {"l2": 0.5}}), **marks})
    assert isinstance(net.get_submodule("it"), nn.Linear)
    assert rules == [rt.L2(0.5, select="name:it.weight")]


def operation(kind: str, *arguments: Any, keywords: Any = None, module: str = "numpy", **config: Any) -> Any:
    """A net of one call of keras.ops."""
    args = [tensors(a)[0] if isinstance(a, str) else a for a in arguments]
    node = {**layer(kind, **config), "module": f"keras.src.ops.{module}", "registered_name": kind}
    return functional(START, (node, [{"args": args, "kwargs": keywords or {}}]))


def test_a_tensor_that_is_one_already():
    """Keras writes this call where it converts a mask."""
    net, _ = rt.keras.from_config(operation("ConvertToTensor", "start", module="core", dtype=None, sparse=None))
    x = torch.randn(2, 4)
    assert net(x) is x
    net, _ = rt.keras.from_config(operation("ConvertToTensor", "start", module="core", dtype="float64"))
    assert net(x).dtype == torch.float64
    with pytest.raises(ValueError, match="ConvertToTensor.*sparse and ragged tensors are not supported"):
        rt.keras.from_config(operation("ConvertToTensor", "start", module="core", sparse=True))


def test_operations():
    x = torch.randn(2, 4)
    for kind, expected in [("Add", x + x), ("Subtract", x - x), ("Multiply", x * x), ("Maximum", x), ("Minimum", x)]:
        torch.testing.assert_close(rt.keras.from_config(operation(kind, "start", "start"))[0](x), expected)
    for axis in (None, [0, 1]):
        every = rt.keras.from_config(operation("Softmax", "start", module="nn", axis=axis))[0](x)
        torch.testing.assert_close(every, x.flatten().softmax(0).reshape(x.shape))
    for config in (operation("Add", "start", 3.0), operation("Add", "start", keywords={"x2": 3.0})):
        torch.testing.assert_close(rt.keras.from_config(config)[0](x), x + 3)
    soft = operation("Softmax", "start", module="nn", axis=1)
    torch.testing.assert_close(rt.keras.from_config(soft)[0](x), x.softmax(1))
    assert isinstance(rt.keras.from_config(soft, logits=True)[0](x), torch.Tensor)


def tensors(*names: str) -> list[Any]:
    return [{"class_name": "__keras_tensor__", "config": {"keras_history": [name, 0, 0]}} for name in names]


@pytest.mark.parametrize("axis", [{}, {"axis": 0}, {"axis": -1}, {"axis": 1}])
def test_the_axis_of_concatenate(axis: dict[str, int]):
    x = torch.randn(2, 4)
    net, _ = rt.keras.from_config(operation("Concatenate", tensors("start", "start"), **axis))
    torch.testing.assert_close(net(x), torch.cat([x, x], axis.get("axis", 0)))  # a layer's default is the last axis


@pytest.mark.parametrize(("settings", "dim"), [({}, 0), ({"dtype": None}, 0), ({"trainable": True}, 1)])
def test_operations_and_layers_in_a_file_that_has_no_modules(settings: dict[str, Any], dim: int):
    """As in the `model.h5` of Keras 3, where a layer says whether it trains."""
    config = operation("Concatenate", tensors("start", "start"), **settings)
    for key in ("module", "registered_name"):
        del config["config"]["layers"][1][key]
    x = torch.randn(2, 4)
    net, _ = rt.keras.from_config(config)
    torch.testing.assert_close(net(x), torch.cat([x, x], dim))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (operation("Mean", 1.5), "'it' .* does not fit .*: 'float' object has no attribute 'ndim'"),
        (operation("Softmax", "start", module="nn", axis="a"), r"'it' \(keras.ops' Softmax\) does not fit"),
        (operation("Softmax", "start", module="nn", temperature=2), r"'it' .*: temperature=2 is not supported"),
        (operation("Bincount", "start"), r"'it' \(keras.ops' Bincount\) is not supported; give custom_objects"),
        (operation("Dense", "start", units=3), r"'it' \(keras.ops' Dense\) is not supported"),
        (
            operation("Reshape", "start", target_shape=[2, 2]),
            r"'it' \(keras.ops' Reshape\): target_shape=\[2, 2\]",
        ),
        (operation("Add", "start", {"a": 1}), "'it' .* does not fit .*: .*dict"),
        (operation("Add", "start"), "'it' .* does not fit .*: .* missing 1 required positional argument: 'x2'"),
        (operation("Add", "start", "start", "start"), r"'it' .* does not fit .* takes 3 positional arguments but 4"),
    ],
)
def test_operations_unlike_layers_are_refused(config: Any, message: str):
    with pytest.raises(ValueError, match=f"from_config: .*{message}"):
        rt.keras.from_config(config)


@pytest.mark.parametrize(
    "config", [operation("Add", "start", "start"), functional(START, (layer("Add"), [call("start", "start")]))]
)
def test_sums_of_whole_numbers(config: Any):
    for dtype in ("int32", "int64"):
        config["config"]["layers"][0]["config"] = {**config["config"]["layers"][0]["config"], "dtype": dtype}
        x = torch.full((2, 4), 100)
        assert torch.equal(rt.keras.from_config(config)[0](x), x + x)
    config["config"]["layers"][0]["config"]["dtype"] = "uint8"  # Keras adds in 8 bits, and wraps
    with pytest.raises(ValueError, match=r"'it' \(.*Add\) does not fit .*: inputs of whole numbers are not supported"):
        rt.keras.from_config(config)
