"""Nets from Keras's JSON: what is refused and how, and that the nets are ordinary modules. Needs no Keras."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
import torch
from torch import nn

import regtorch as rt
from keras_json import START, build, call, dense, functional, layer, sequential

IMAGE = (None, 8, 8, 3)


@pytest.mark.parametrize(
    ("layers", "shape", "message"),
    [
        ([layer("Hashing", num_bins=3)], (None, 4), r"layer 'it' \(Hashing\) is not supported: torch has none"),
        (
            [layer("Dens", units=3)],
            (None, 4),
            r"layer 'it' \(Dens\) is not supported; did you mean Dense. Otherwise give custom_objects={.Dens.: a f",
        ),
        ([layer("Lambda")], (None, 4), r"layer 'it' \(Lambda\) is not supported"),
        ([dense(activation="relux")], (None, 4), "'it' .Dense.: activation .relux. is not supported"),
        (
            [dense(kernel_initializer={"class_name": "Mine", "config": {}})],
            *((None, 4), "layer 'it' .Dense.: initializer: 'Mine' is not supported; supported are GlorotUniform"),
        ),
        ([dense(kernel_regularizer="l3")], (None, 4), "layer 'it' .Dense.: penalty: 'l3' is not supported; supp"),
        ([dense(kernel_constraint="radial")], (None, 4), "layer 'it' .Dense.: constraint: 'radial' is not supported"),
        ([dense(lora_rank=4)], (None, 4), "layer 'it' .Dense.: lora_rank=4 is not supported"),
        ([layer("Dense")], (None, 4), "layer 'it' .Dense.: the config has no units"),
        ([layer("Dropout", rate=0.5, noise_shape=[None, 2])], (None, 4), r"noise_shape=\[None, 2\] does not fit"),
        ([layer("Dropout", rate=1.5)], (None, 4), "layer 'it' .Dropout.: rate must be a number from 0 to 1"),
        ([layer("BatchNormalization", virtual_batch_size=2)], (None, 4), "virtual_batch_size=2 is not supported"),
        ([layer("Embedding", input_dim=3, output_dim=2, mask_zero=1)], (None, 4), "mask_zero must be True or False"),
        ([layer("Conv2D", filters=2, kernel_size=9)], IMAGE, "layer 'it' .Conv2D. does not fit its input of shape"),
        ([layer("Conv2D", filters=2, kernel_size=[3, 3, 3])], IMAGE, "kernel_size must be one or 2 whole numbers"),
        ([layer("Conv2D", filters=2, kernel_size=3, padding="reflect")], IMAGE, "padding='reflect' is not supported"),
        ([layer("Conv2D", filters=2, kernel_size=3)], (None, 4), "takes an input of 4 dims, batch included, received"),
        ([layer("Reshape", target_shape=[3, 2])], (None, 4), "does not fit its input of shape"),
        ([layer("Add")], (None, 4), "it takes 2 inputs or more, received 1"),
        ([dense(dtype="complex64")], (None, 4), "layer 'it' .Dense.: the dtype 'complex64' is not supported; supp"),
        (
            [layer("Conv2D", "a", filters=2, kernel_size=3, data_format="channels_first"), layer("MaxPooling2D")],
            *(IMAGE, "layer 'it' .MaxPooling2D.: layers of different data_format are not supported: its own is"),
        ),
        (
            [layer("Conv2D", f, filters=2, kernel_size=3, data_format=f) for f in ("channels_last", "channels_first")],
            *(IMAGE, "layers of different data_format are not supported"),
        ),
    ],
)  # fmt: skip
def test_unsupported_layers_and_settings_are_named(layers: Any, shape: Any, message: str):
    with pytest.raises(ValueError, match=message):
        build(*layers, shape=shape)


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        (3, TypeError, "expected JSON text or a dict, received int; give model.to_json"),
        ("{", ValueError, "the text is not JSON"),
        ("{}", ValueError, "the config has no class_name, and so is not a net's; give model.to_json"),
        ({"class_name": "MyModel", "config": {}}, ValueError, "received class_name='MyModel'; a subclassed"),
        ({"class_name": "Sequential", "config": {}}, ValueError, "no list of layers"),
        ({"class_name": "Sequential", "config": {"layers": [dense()]}}, ValueError, "has no input shape; build"),
    ],
)  # fmt: skip
def test_invalid_configs(config: Any, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        rt.keras.from_config(config)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([[["start", 0, 0, {"mask": 1}]]], r"layer 'it' \(Dense\): it is called with mask, which is not supported"),
        ([[["start", 0, 0, {}], 2.0]], "layer 'it' .*: arguments that are not tensors are not supported: 2.0"),
        ([[["nowhere", 0, 0, {}]]], "in the graph 'it' takes a tensor that no call computes, of 'nowhere'"),
    ],
)
def test_unsupported_graphs(nodes: Any, message: str):
    with pytest.raises(ValueError, match=message):
        rt.keras.from_config(functional(START, (dense(), nodes)))


@pytest.mark.parametrize("training", [True, False])
def test_a_layer_called_in_a_fixed_mode(training: bool):
    norm = layer("BatchNormalization", "norm", momentum=0.0)
    net, _ = rt.keras.from_config(functional(START, (norm, [[["start", 0, 0, {"training": training}]]])))
    net.train(not training)
    x = 3 + torch.randn(50, 4)
    y = net(x)
    assert net.training is net.get_submodule("norm").training is not training
    torch.testing.assert_close(y.mean(0).abs().max() < 1e-3, torch.tensor(training))


def test_layer_names_that_clash_with_module_attributes():
    net, rules = build(
        dense(kernel_regularizer="l2") | {"config": {**dense(kernel_regularizer="l2")["config"], "name": "training"}},
        layer("Dense", "a/b c.d", units=2, kernel_regularizer="l2"),
        layer("Dense", "a_b_c_d", units=2, bias_regularizer="l1"),
    )
    assert list(dict(net.named_children())) == ["training_", "a_b_c_d", "a_b_c_d_"]
    assert [r.select for r in rules] == ["name:training_.weight|name:a_b_c_d.weight", "name:a_b_c_d_.bias"]
    assert [list(r.on(net).by_weight()) for r in rules] == [["training_.weight", "a_b_c_d.weight"], ["a_b_c_d_.bias"]]


def test_keras_2_numbers_the_calls_of_nested_nets_from_1():
    inner = functional((layer("InputLayer", "in", batch_input_shape=[None, 4]), []), (dense(), [[["in", 0, 0, {}]]]))
    nested = {"class_name": "Functional", "config": {**inner["config"], "name": "inner"}}
    calls = [[["start", 0, 0, {}]], [["start", 0, 0, {"training": False}]]]
    end = (layer("Add", "end"), [[["inner", 1, 0, {}], ["inner", 2, 0, {}]]])
    net, _ = rt.keras.from_config(functional(START, (nested, calls), end))
    x = torch.randn(2, 4)
    torch.testing.assert_close(net(x), 2 * net.get_submodule("inner")(x))


def test_an_embedding_of_a_table_of_indices_is_channels_first():
    net, _ = build(layer("Embedding", input_dim=7, output_dim=2), shape=(None, 3, 5))
    x = torch.randint(0, 7, (2, 3, 5))
    torch.testing.assert_close(net(x), nn.functional.embedding(x, net.get_submodule("it").weight).movedim(-1, 1))


def test_two_dtypes_are_refused():
    whole = layer("InputLayer", "start", batch_shape=[None, 4], dtype="int32"), []
    names = {"it": "float32", "second": "float64"}
    tables = [(layer("Embedding", n, input_dim=3, output_dim=2, dtype=d), [call("start")]) for n, d in names.items()]
    with pytest.raises(
        ValueError, match=r"layers of two dtypes in one net .* torch.float.. \(layer '.* and torch.float.."
    ):
        rt.keras.from_config(functional(whole, *tables, outputs=[["it", 0, 0], ["second", 0, 0]]))


def test_open_sizes_are_tried_larger():
    net, _ = build(layer("Conv1D", filters=2, kernel_size=2, dilation_rate=128), shape=(None, None, 1))
    assert net(torch.randn(1, 200, 1)).shape == (1, 72, 2)


def test_roles():
    net, _ = build(
        layer("Conv2D", "conv", filters=2, kernel_size=3),
        layer("BatchNormalization", "bn"),
        layer("LayerNormalization", "ln"),
        layer("Flatten", "flat"),
        layer("Dense", "dense", units=2),
        layer("PReLU", "slopes"),
        shape=IMAGE,
    )
    assert "slopes.alpha" not in rt.select.weights(net, "kernel|bias|norm")
    assert list(rt.select.weights(net, "kernel")) == ["conv.weight", "dense.weight"]
    assert list(rt.select.weights(net, "norm")) == ["bn.weight", "bn.bias", "ln.weight", "ln.bias"]
    assert list(rt.select.weights(net, "type:Conv2d bias")) == ["conv.bias"]


def test_copy_pickle_compile_and_convert():
    net, _ = build(
        layer("Conv2D", "conv", filters=2, kernel_size=3, activation="exponential", padding="same", strides=2),
        layer("ReLU", "relu", max_value=1.0),
        layer("BatchNormalization", "bn"),
        layer("Flatten", "flat"),
        dense(activation="softmax"),
        shape=IMAGE,
        seed=0,
    )
    x = torch.rand(4, 3, 8, 8)
    net.eval()
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net)), torch.compile(net, backend="eager")):
        torch.testing.assert_close(other(x), net(x), rtol=0, atol=0)
    torch.testing.assert_close(net.double()(x.double()), net.float()(x).double())


def test_branches_of_unequal_depth_keep_kerass_order():
    names = ["a1", "a2", "b1"]
    square = {name: layer("Dense", name, units=4) for name in names}
    config = functional(
        START,
        (square["a1"], [[["start", 0, 0, {}]]]),
        (square["a2"], [[["a1", 0, 0, {}]]]),
        (square["b1"], [[["start", 0, 0, {}]]]),
        (layer("Add", "end"), [[["a2", 0, 0, {}], ["b1", 0, 0, {}]]]),
    )
    net, _ = rt.keras.from_config(config)
    assert list(dict(net.named_children())) == [*names, "end"]


def test_the_seed_decides_the_weights():
    draws = [build(dense(), seed=seed)[0].get_submodule("it").weight for seed in (1, 1, 2)]
    torch.testing.assert_close(draws[0], draws[1], rtol=0, atol=0)
    assert not torch.equal(draws[0], draws[2])


def test_inputs_of_another_shape_are_refused():
    net, _ = build(layer("Flatten"), shape=IMAGE)
    with pytest.raises(
        ValueError, match=r"'start' must have the shape \(batch, 3, 8, 8\) \(channels first: .*\), received"
    ):
        net(torch.rand(2, 8, 8, 3))
    with pytest.raises(ValueError, match="received Tensor, Tensor"):
        net(torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8))
    with pytest.raises(
        ValueError,
        match=r"takes 1 tensor \(start\), received ndarray; make .* by torch.as_tensor",
    ):
        net(torch.rand(2, 3, 8, 8).numpy())


def test_the_version_is_read_from_the_json():
    second = json.loads(json.dumps(sequential(layer("BatchNormalization"))).replace("batch_shape", "batch_input_shape"))
    cases: list[tuple[Any, int]] = [(sequential(layer("BatchNormalization")), 3), (second, 2)]
    cases += [({**second, "keras_version": "3.1.0"}, 3), ({**cases[0][0], "keras_version": "2.14.0"}, 2)]
    for config, version in cases:
        assert rt.keras.from_config(config)[0].get_submodule("it").version == version
    assert rt.keras.from_config(second, version=3)[0].get_submodule("it").version == 3
    with pytest.raises(ValueError, match="version must be 2 or 3, received 4"):
        rt.keras.from_config(second, version=4)


def test_warns_of_a_frozen_layers_constant_penalty():
    frozen = dense(kernel_regularizer="l2", kernel_constraint="max_norm", trainable=False)
    with pytest.warns(UserWarning, match="layer 'it' is frozen, and Keras 2 adds its constant penalty to the loss"):
        net, rules = build(frozen, version=2)
    assert rules == []
    assert not any(p.requires_grad for p in net.parameters())
    assert build(frozen, version=3)[1] == []


def test_mixed_precision_keeps_float32_weights_with_a_warning():
    policy = {"class_name": "DTypePolicy", "config": {"name": "mixed_float16"}}
    with pytest.warns(UserWarning, match=r"policy mixed_float16 .* run the net under torch.autocast"):
        net, _ = build(dense(dtype=policy))
    assert net.get_submodule("it").weight.dtype == torch.float32


def test_whole_numbers_for_an_input_of_floats():
    net, _ = build(layer("Conv2D", filters=2, kernel_size=3), shape=IMAGE)
    x = torch.randint(0, 255, (2, 3, 8, 8), dtype=torch.uint8)
    torch.testing.assert_close(net(x), net(x.float()))
    torch.testing.assert_close(net.double()(x), net(x.double()))


def test_floats_of_another_dtype_for_an_input_of_floats():
    net, x = build(dense())[0], torch.randn(5, 4, dtype=torch.float64)
    assert net(x).dtype == torch.float32
    torch.testing.assert_close(net(x), net(x.float()))
    assert net.double()(x.float()).dtype == torch.float64
    with torch.autocast("cpu", torch.bfloat16):
        assert net.float()(x.bfloat16()).dtype == torch.bfloat16


def test_inputs_of_strings_name_the_layer_that_reads_them():
    start = (layer("InputLayer", "start", batch_shape=[None, 1], dtype="string"), [])
    config = functional(start, (layer("StringLookup", "look", vocabulary=["a"]), [call("start")]))
    with pytest.raises(
        ValueError, match=r"'start' \(InputLayer\) gives strings to layer 'look' \(StringLookup\), and torch has no"
    ):
        rt.keras.from_config(config)


@pytest.mark.parametrize("axis", [[1, 2], [-1, 1], [3]])
def test_softmax_over_several_axes(axis: list[int]):
    net, _ = build(layer("Softmax", axis=axis), shape=(None, 5, 6, 4))
    x = torch.randn(2, 5, 6, 4)
    expected = (x - x.logsumexp(axis, keepdim=True)).exp()
    torch.testing.assert_close(net(x.movedim(-1, 1)).movedim(1, -1), expected)
