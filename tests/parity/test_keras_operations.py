"""Calls of live `keras.ops` in functional nets, with tensors and constants, on images and on vectors."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from comparing import Compare

import keras
import regtorch as rt
from keras import ops as O

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras's
    pytest.mark.parity("keras.ops in nets", "Keras 3 (torch), float64"),
]

IMAGES, VECTORS = (3, 4, 2), (4,)
OF_ONE = (
    "absolute ceil floor trunc sign square exp exp2 expm1 sin cos tan sinh cosh tanh sinc arcsin arccos arctan arcsinh "
    "arctanh negative erf sigmoid relu relu6 silu softsign log_sigmoid hard_sigmoid hard_silu hard_tanh selu "
    "tanh_shrink softplus gelu leaky_relu elu celu squareplus hard_shrink soft_shrink logical_not isnan isfinite isinf "
    "ones_like zeros_like softmax log_softmax stop_gradient round"
)
OF_POSITIVE = "sqrt rsqrt log log2 log10 log1p reciprocal"
OF_TWO = (
    "add subtract multiply divide true_divide divide_no_nan floor_divide power mod fmod maximum minimum fmax fmin "
    "arctan2 hypot logaddexp logaddexp2 equal not_equal greater greater_equal less less_equal logical_and logical_or "
    "logical_xor"
)
REDUCTIONS = "mean sum var std max min amax amin logsumexp any all norm"
OF_ONE_AXIS = "argmax argmin prod"
ALONG = "cumsum cumprod average sort argsort flip"

SHAPES: dict[str, Callable[[Any], Any]] = {
    "reshape": lambda x: O.reshape(x, (-1, 6, 4)),
    "reshape to images": lambda x: O.reshape(x, (-1, 6, 2, 2)),
    "transpose": lambda x: O.transpose(x, (0, 2, 3, 1)),
    "expand_dims": lambda x: O.expand_dims(x, 1),
    "expand_dims by two": lambda x: O.expand_dims(x, (1, -1)),
    "squeeze": lambda x: O.squeeze(x[:, :1], 1),
    "slices": lambda x: x[:, 1:, ::2, 0],
    "ellipsis and a new axis": lambda x: x[..., None, 1],
    "negative index": lambda x: x[:, -1],
    "concatenate": lambda x: O.concatenate([x, x], -1),
    "stack": lambda x: O.stack([x, x], 1),
    "split": lambda x: O.split(x, 2, axis=2),
    "split at": lambda x: O.split(x, [1, 3], axis=2),
    "unstack": lambda x: O.unstack(x, axis=1),
    "take several": lambda x: O.take(x, [0, 2], axis=2),
    "take one": lambda x: O.take(x, 1, axis=2),
    "repeat": lambda x: O.repeat(x, 2, axis=1),
    "tile": lambda x: O.tile(x, (1, 2, 1, 1)),
    "roll": lambda x: O.roll(x, 1, 2),
    "pad": lambda x: O.pad(x, ((0, 0), (1, 2), (0, 1), (0, 0))),
    "pad by reflection": lambda x: O.pad(x, ((0, 0), (1, 1), (0, 1), (0, 0)), mode="reflect"),
    "swapaxes": lambda x: O.swapaxes(x, 1, 2),
    "moveaxis": lambda x: O.moveaxis(x, 1, 3),
    "tril": O.tril,
    "where": lambda x: O.where(x > 0, x, 0.5),
    "clip": lambda x: O.clip(x, -0.3, 0.4),
    "matmul": lambda x: O.matmul(x, O.swapaxes(x, -1, -2)),
    "einsum": lambda x: O.einsum("bhwc,bhwd->bhcd", x, x),
    "tensordot": lambda x: O.tensordot(x, np.ones((2, 5)), axes=1),
    "one_hot": lambda x: O.one_hot(O.cast(O.abs(x * 3), "int32"), 4),
    "top_k": lambda x: O.top_k(x, 2),
    "operators": lambda x: (1 - x) * 2 / (x + 3) - x**2,
    "negative": lambda x: -x,
    "gelu": lambda x: O.gelu(x, approximate=False),
    "threshold": lambda x: O.threshold(x, 0.1, 0.2),
    "softmax of all": lambda x: O.softmax(x, axis=None),
    "moments": lambda x: O.moments(x, axes=(1, 2)),
}


@pytest.fixture
def agree(compare: Compare, floatx: Callable[[str], None]) -> Callable[..., None]:
    floatx("float64")

    def check(function: Callable[..., Any], *shapes: tuple[int, ...], low: float = -1.0) -> None:
        inputs = [keras.Input(shape) for shape in shapes]
        model = keras.Model(inputs, function(*inputs))
        torch.manual_seed(0)
        xs = [torch.rand(3, *shape, dtype=torch.float64) * 2 + low for shape in shapes]
        net, _ = rt.keras.from_config(model.to_json())
        net = pickle.loads(pickle.dumps(copy.deepcopy(net)))
        expected, values = model(xs), net(*[x.movedim(-1, 1) if x.ndim > 3 else x for x in xs])
        expected = expected if isinstance(expected, list | tuple) else [expected]
        values = values if isinstance(values, tuple) else (values,)
        for theirs, ours in zip(expected, values, strict=True):
            mine = ours.movedim(1, -1) if ours.ndim > 3 else ours
            assert mine.shape == theirs.shape
            compare(mine.double(), theirs.double(), within=1e-12)

    return check


@pytest.mark.parametrize("shape", [VECTORS, IMAGES])
@pytest.mark.parametrize("name", OF_ONE.split())
def test_of_one(name: str, shape: tuple[int, ...], agree: Callable[..., None]):
    agree(getattr(O, name), shape)


@pytest.mark.parametrize("name", OF_POSITIVE.split())
def test_of_positive(name: str, agree: Callable[..., None]):
    agree(getattr(O, name), VECTORS, low=0.5)


@pytest.mark.parametrize("name", OF_TWO.split())
def test_of_two(name: str, agree: Callable[..., None]):
    function = getattr(O, name)
    for other in (IMAGES, (1, 1, 2), (3, 1, 2)):
        agree(function, IMAGES, other, low=0.5)
    if name != "hypot":  # Keras's fails on torch
        agree(lambda x: function(x, 0.3), IMAGES, low=0.5)
        agree(lambda x: function(0.3, x), IMAGES, low=0.5)
        agree(lambda x: function(x, np.array([0.1, 0.7])), IMAGES, low=0.5)


# Keras's torch backend ignores keepdims=True for axis=None; its others do not.
@pytest.mark.parametrize(("axis", "keepdims"), [(None, False), *product([1, -1, (1, 2)], [False, True])])
@pytest.mark.parametrize("name", REDUCTIONS.split())
def test_reductions(name: str, axis: Any, keepdims: bool, agree: Callable[..., None]):
    agree(lambda x: getattr(O, name)(x, axis=axis, keepdims=keepdims), IMAGES if axis is not None else (5,))


@pytest.mark.parametrize("axis", [1, -1])
@pytest.mark.parametrize("name", (OF_ONE_AXIS + " " + ALONG).split())
def test_along_an_axis(name: str, axis: int, agree: Callable[..., None]):
    agree(lambda x: getattr(O, name)(x, axis=axis), IMAGES)


@pytest.mark.parametrize("name", SHAPES)
def test_shapes(name: str, agree: Callable[..., None]):
    agree(SHAPES[name], IMAGES)


@pytest.mark.parity("TensorFlow's functions in nets", "Keras 2.14 (TensorFlow), float64")
def test_tensorflows_functions(compare: Compare):
    record = json.loads(Path(__file__).with_name("operations-keras-2.14.json").read_text(encoding="utf-8"))
    net, _ = rt.keras.from_config(record["model"])
    values = net(torch.tensor(record["x"], dtype=torch.float64).movedim(-1, 1))
    assert len(values) == len(record["outputs"]) > 20
    for ours, theirs in zip(values, record["outputs"], strict=True):
        # TensorFlow resizes in float32.
        compare(ours.movedim(1, -1) if ours.ndim > 3 else ours, torch.tensor(theirs, dtype=torch.float64), within=3e-7)
