"""A setting of the wrong type or size in Keras's JSON is refused with its layer's name."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest

import regtorch as rt
from keras_json import build, call, dense, functional, layer, sequential

IMAGE, SEQUENCE, FLAT = (None, 8, 8, 3), (None, 8, 3), (None, 4)
CONV = {"filters": 2, "kernel_size": 3}
BAD_SIZES: list[Any] = [
    0,
    -1,
    2.0,
    "3",
    True,
    None,
    math.nan,
    [],
    [1, 2, 3, 4],
    [2, "2"],
    2**31,
    10**12,
    10**30,
    10**5000,
]
BAD_FLAGS: list[Any] = ["yes", 1, 0, None, []]
BAD_NUMBERS: list[Any] = ["0.5", True, None, [], math.nan, math.inf, 1e39, 10**400]
SETTINGS: list[tuple[Any, str, list[Any]]] = [
    (FLAT, "Dense units use_bias:bool", []),
    (FLAT, "Embedding input_dim output_dim=2", []),
    (FLAT, "Embedding output_dim input_dim=2", []),
    (IMAGE, "Conv2D filters kernel_size=3 use_bias:bool", []),
    (IMAGE, "Conv2D kernel_size filters=2", [[3], [3, 3, 3], [3, 0], [3, None]]),
    (IMAGE, "Conv2D strides filters=2 kernel_size=3", []),
    (IMAGE, "Conv2D dilation_rate filters=2 kernel_size=3", []),
    (IMAGE, "Conv2D groups filters=3 kernel_size=3", [2]),
    (IMAGE, "DepthwiseConv2D depth_multiplier kernel_size=3 use_bias:bool", []),
    (IMAGE, "SeparableConv2D filters kernel_size=3 use_bias:bool", []),
    (IMAGE, "Conv2DTranspose filters kernel_size=3 use_bias:bool", []),
    (IMAGE, "Conv2DTranspose strides kernel_size=3 filters=2", []),
    (IMAGE, "MaxPooling2D pool_size", []),
    (IMAGE, "AveragePooling2D pool_size", []),
    (IMAGE, "UpSampling2D size", []),
    (SEQUENCE, "UpSampling1D size", [[2]]),
    (FLAT, "RepeatVector n", [[2]]),
    (IMAGE, "GlobalMaxPooling2D keepdims:bool", []),
    (IMAGE, "BatchNormalization scale:bool center:bool epsilon:number momentum:number", [-0.1]),
    (IMAGE, "LayerNormalization scale:bool center:bool epsilon:number", [-0.1]),
    (FLAT, "Dropout rate:number", [-0.1, 1.1]),
    (FLAT, "GaussianNoise stddev:number", [-0.1]),
    (SEQUENCE, "SpatialDropout1D rate:number", [-0.1, 1.1]),
    (FLAT, "LeakyReLU negative_slope:number", [-0.1]),
    (FLAT, "LeakyReLU alpha:number", [-0.1]),
    (FLAT, "ReLU threshold:number negative_slope:number", [-0.1]),
    (FLAT, "ELU alpha:number", []),
    (FLAT, "Rescaling scale:number offset:number", []),
    (FLAT, "ActivityRegularization l1:number l2:number", [-0.1]),
]


def cases() -> list[Any]:
    found = []
    for shape, words, more in SETTINGS:
        kind, *settings = words.split()
        fixed = {key: int(value) for key, _, value in (s.partition("=") for s in settings if "=" in s)}
        if kind == "Rescaling":
            fixed = {"scale": 2}
        if kind == "Dense":
            fixed = {"units": 2}
        for setting in (s for s in settings if "=" not in s):
            key, _, of = setting.partition(":")
            wrong = {"bool": BAD_FLAGS, "number": BAD_NUMBERS, "": BAD_SIZES}[of]
            wrong = [v for v in wrong if not (kind == "ActivityRegularization" and v in (None, 1e39))]
            found += [
                pytest.param(shape, kind, {**fixed, key: value}, id=f"{kind}-{key}-{str(type(value))[8:-2]}-{i}")
                for i, value in enumerate([*wrong, *(more if of != "bool" else [])])
            ]
    return found


@pytest.mark.parametrize(("shape", "kind", "config"), cases())
def test_settings_of_the_wrong_type_or_size(shape: Any, kind: str, config: dict[str, Any]):
    with pytest.raises((ValueError, TypeError), match=rf"from_config: layer 'it' \({kind}\)"):
        build(layer(kind, **config), shape=shape)


@pytest.mark.parametrize(
    ("config", "shape", "message"),
    [
        (layer("Softmax", axis=None), FLAT, "axis must be one whole number, received None"),
        (layer("Softmax", axis=True), FLAT, "axis must be one whole number, received True"),
        (layer("Softmax", axis=7), FLAT, "axis 7 does not exist in 2 dims"),
        (layer("LayerNormalization", axis=[5]), FLAT, r"axis must name axes from 1 to 1, received \[5\]"),
        (layer("LayerNormalization", axis=[]), FLAT, "axis must be a whole number or several"),
        (layer("PReLU", shared_axes=[3]), SEQUENCE, r"shared_axes must name axes from 1 to 2, received \[3\]"),
        (layer("PReLU", shared_axes=[-1]), SEQUENCE, "shared_axes must name axes from 1 to 2"),
        (layer("ZeroPadding2D", padding=-1), IMAGE, "padding must be a whole number of at least 0"),
        (layer("ZeroPadding2D", padding=[[1, -1], [0, 0]]), IMAGE, "padding must be a whole number of at least 0"),
        (layer("ZeroPadding1D", padding=[1]), SEQUENCE, "padding must be a whole number of at least 0"),
        (layer("Cropping2D", cropping=4), IMAGE, "has an empty output, of shape"),
        (layer("Reshape", target_shape=4), FLAT, "target_shape must be a list of whole numbers, received 4"),
        (layer("Reshape", target_shape=[2.0, 2]), FLAT, "target_shape must be a list of whole numbers"),
        (layer("Permute", dims="12"), SEQUENCE, "dims must be a list of whole numbers, received '12'"),
        (layer("RepeatVector", n=2), SEQUENCE, "it takes an input of 2 dims, batch included, received"),
        (layer("UpSampling1D"), FLAT, "it takes an input of 3 dims, batch included, received"),
        (layer("SpatialDropout2D", rate=0.5), SEQUENCE, "it takes an input of 4 dims, batch included, received"),
        (layer("Conv2D", **CONV, padding=["same"]), IMAGE, r"padding=\['same'\] is not supported"),
        (
            layer("Conv2D", **CONV, data_format="channels_middle"),
            IMAGE,
            "data_format must be channels_first or channels_l",
        ),
        (layer("Conv2D", **CONV, data_format=[]), IMAGE, "data_format must be channels_first or channels_last"),
        (layer("Identity", l1=0.5), FLAT, "l1=0.5 is not supported"),
        (dense(dtype=["float32"]), FLAT, r"the dtype \['float32'\] is not supported"),
        (dense(dtype={"class_name": "DTypePolicyMap", "config": {}}), FLAT, "the dtype policy 'DTypePolicyMap' is not"),
        (dense(gamma_regularizer="l2"), FLAT, "gamma_regularizer='l2' is not supported: the layer has no gamma"),
        (
            layer("Flatten", kernel_constraint="non_neg"),
            FLAT,
            "kernel_constraint='non_neg' is not supported: the layer h",
        ),
        (
            layer("BatchNormalization", moving_mean_regularizer="l2"),
            FLAT,
            "moving_mean_regularizer='l2' is not supported",
        ),
        (
            dense(kernel_regularizer={"class_name": "L2", "config": {"l2": "x"}}),
            FLAT,
            "L2: lam must be a finite number",
        ),
        (
            dense(kernel_constraint={"class_name": "MaxNorm", "config": {"max_value": None}}),
            FLAT,
            "max_value must be giv",
        ),
        (
            dense(kernel_initializer={"class_name": "RandomNormal", "config": {"stddev": -1}}),
            FLAT,
            "stddev must be a fin",
        ),
        (
            dense(kernel_initializer={"class_name": "RandomNormal", "config": {"mean": None}}),
            FLAT,
            "mean must be a fini",
        ),
        (
            dense(kernel_initializer={"class_name": "Constant", "config": {"value": [1]}}),
            FLAT,
            "value must be a finite n",
        ),
        (dense(kernel_initializer={"class_name": "Zeros", "config": {"value": 5}}), FLAT, "Zeros has no value"),
        (
            dense(kernel_initializer={"class_name": "VarianceScaling", "config": {"mode": []}}),
            FLAT,
            "mode must be one of",
        ),
        (
            dense(kernel_initializer={"class_name": "RandomUniform", "config": {"minval": 1}}),
            FLAT,
            "minval must be at mo",
        ),
        (dense(kernel_initializer=0), FLAT, "initializer: expected a name or a Keras config, received 0"),
        (dense(name=""), FLAT, r"layers\[1\] of 'net' \(Dense\): its name must be a string, received ''"),
        (dense(name=["it"]), FLAT, r"layers\[1\] of 'net' \(Dense\): its name must be a string"),
    ],
)
def test_invalid_settings(config: Any, shape: Any, message: str):
    with pytest.raises((ValueError, TypeError), match=f"from_config: .*{message}"):
        build(config, shape=shape)


@pytest.mark.parametrize(
    "shape",
    [(None, "4"), (None, 0), (None, -4), (None, 4.0), (None, True), (None, 10**12), (0, 4), "None", 4, {"a": 1}],
)
def test_shapes_of_inputs(shape: Any):
    start = layer("InputLayer", "start", batch_shape=shape)
    with pytest.raises(ValueError, match=r"from_config: layer 'start'.*: a shape must be a list of sizes"):
        rt.keras.from_config({"class_name": "Sequential", "config": {"name": "net", "layers": [start, dense()]}})


@pytest.mark.parametrize("setting", ["sparse", "ragged", "optional", "activity_regularizer", "kernel_regularizer"])
def test_settings_of_inputs(setting: str):
    start = layer("InputLayer", "start", batch_shape=[None, 4], **{setting: "l2" if "_" in setting else True})
    with pytest.raises(ValueError, match=rf"layer 'start' \(InputLayer\): {setting}=.* is not supported"):
        rt.keras.from_config(functional((start, []), (dense(), [call("start")])))


@pytest.mark.parametrize(
    ("layers", "shape", "where"),
    [
        ([dense(units=2**31 - 1), dense("more", units=2**31 - 1)], FLAT, "layer 'more' (Dense): a tensor"),
        ([layer("RepeatVector", n=2**31 - 1)], (None, 2**20), "layer 'it' (RepeatVector)"),
        ([layer("ZeroPadding2D", padding=2**20)], IMAGE, "layer 'it' (ZeroPadding2D)"),
        ([layer("UpSampling2D", size=2**22)], IMAGE, "layer 'it' (UpSampling2D)"),
        ([dense()], (None, 2**31 - 1, 2**31 - 1), "layer 'start' (InputLayer): a tensor"),
        ([dense()], (None, *[2**31 - 1] * 3), "layer 'start' (InputLayer): a tensor"),
        (
            [dense(str(i), units=100_000) for i in range(200)],
            FLAT,
            "the net's weights need 7,960.1 GB, drawing the largest, ",
        ),
    ],
)
def test_nets_larger_than_memory(monkeypatch: pytest.MonkeyPatch, layers: Any, shape: Any, where: str):
    monkeypatch.setattr("regtorch.keras.shapes_only.free_memory", lambda: 10**12)
    with pytest.raises(ValueError, match=rf"from_config: {re.escape(where)}.* this machine's free memory"):
        build(*layers, shape=shape)


def test_weights_that_depend_on_a_size_left_open():
    for head, shape in (
        ([dense()], (None, None)),
        ([layer("Flatten", "flat"), dense()], (None, None, 4)),
        ([layer("PReLU")], (None, None, 4)),
    ):
        with pytest.raises(
            ValueError, match=r"layer 'it' .*: the shape of its weights depends on a size that the config"
        ):
            build(*head, shape=shape)
    build(layer("PReLU", shared_axes=[1]), shape=(None, None, 4))


def test_weights_are_drawn_within_their_dtype():
    config = dense(kernel_initializer={"class_name": "Constant", "config": {"value": 1e5}}, dtype="float16")
    start = layer("InputLayer", "start", batch_shape=[None, 4], dtype="float16")
    with pytest.raises(ValueError, match=r"layer 'it' \(Dense\): its kernel is drawn beyond torch.float16"):
        rt.keras.from_config(functional((start, []), (config, [call("start")])))


def test_infinite_numbers_in_json():
    text = json.dumps(sequential(layer("Dropout", rate=math.nan), layer("Rescaling", "r", scale=math.inf)))
    with pytest.raises(ValueError, match=r"layer 'it' \(Dropout\): rate must be a number from 0 to 1, received nan"):
        rt.keras.from_config(text)
