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
    "ones_like zeros_like softmax log_softmax stop_gradient round sparse_plus sparse_sigmoid sparsemax glu cbrt "
    "deg2rad rad2deg fabs i0 nan_to_num signbit isposinf isneginf"
)
OF_POSITIVE = "sqrt rsqrt log log2 log10 log1p reciprocal"
OF_TWO = (
    "add subtract multiply divide true_divide divide_no_nan floor_divide power mod fmod maximum minimum fmax fmin "
    "arctan2 hypot logaddexp logaddexp2 equal not_equal greater greater_equal less less_equal logical_and logical_or "
    "logical_xor"
)
REDUCTIONS = "mean sum var std max min amax amin logsumexp any all norm median nansum nanmean nanmax nanmin"
OF_ONE_AXIS = "argmax argmin prod"
ALONG = "cumsum cumprod average sort argsort flip diff"


def gram(x: Any) -> Any:
    """Positive definite matrices."""
    return O.add(O.matmul(O.swapaxes(x, -1, -2), x), np.eye(2))


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
    "hstack": lambda x: O.hstack([x, x]),
    "vstack": lambda x: O.vstack([x, x]),
    "dstack": lambda x: O.dstack([x, x]),
    "append": lambda x: O.append(x, x, axis=1),
    "array_split": lambda x: O.array_split(x, 3, axis=2),
    "flips": lambda x: O.fliplr(O.flipud(O.rot90(x, axes=(1, 2)))),
    "diagonal": lambda x: O.diagonal(x, offset=1, axis1=1, axis2=2),
    "trace": lambda x: O.trace(x, axis1=1, axis2=2),
    "slice": lambda x: O.slice(x, (0, 1, 0, 0), (3, 2, 3, 1)),
    "slice_update": lambda x: O.slice_update(x, (0, 1, 0, 0), np.zeros((1, 1, 2, 1))),
    "scatter_update": lambda x: O.scatter_update(x, np.array([[0, 1, 1, 1]]), np.array([2.0])),
    "inner": lambda x: O.inner(x, np.ones((5, 2))),
    "kron": lambda x: O.kron(x, np.ones((1, 1, 2, 1))),
    "select": lambda x: O.select([x > 0.5, x > 0], [x, 2 * x], 0.5),
    "full_like": lambda x: x * O.full_like(x, 2.0),
    "isclose": lambda x: O.isclose(x, 0.3, rtol=0.5),
    "ptp": lambda x: O.ptp(x, axis=1),
    "layer_normalization": lambda x: O.layer_normalization(x, gamma=np.array([1.0, 2]), beta=np.array([0.5, 0])),
    "rms_normalization": lambda x: O.rms_normalization(x, scale=np.array([1.0, 2])),
    "batch_normalization": lambda x: O.batch_normalization(x, np.array([0.1, 0]), np.array([2.0, 1]), -1),
    "dot_product_attention": lambda x: O.dot_product_attention(x, x, 2 * x, is_causal=True),
    "max_pool": lambda x: O.max_pool(x, 2, 1, padding="same"),
    "average_pool": lambda x: O.average_pool(x, (2, 3)),
    "resize": lambda x: O.image.resize(x, (5, 2)),
    "resize to nearest": lambda x: O.image.resize(x, (5, 2), interpolation="nearest"),
    "grayscale": lambda x: O.image.rgb_to_grayscale(O.concatenate([x, x[..., :1]], -1)),
    "patches": lambda x: O.image.extract_patches(x, (2, 3)),
    "patches with steps": lambda x: O.image.extract_patches(x, (2, 1), strides=(1, 2), padding="same"),
    "crop_images": lambda x: O.image.crop_images(x, 1, None, 0, 1, target_width=2),
    "pad_images": lambda x: O.image.pad_images(x, None, 1, 1, target_height=6, target_width=7),
    "fft2": lambda x: O.fft2((x, O.zeros_like(x))),
    "rfft": lambda x: O.rfft(O.swapaxes(x, 1, 3)),
    "irfft": lambda x: O.irfft(O.fft((x, 0.5 * x))),
    "inv": lambda x: O.inv(gram(x)),
    "cholesky": lambda x: O.cholesky(gram(x)),
    "logdet": lambda x: O.logdet(gram(x)),
    "solve": lambda x: O.solve(gram(x), O.swapaxes(x, -1, -2)),
    "singular values": lambda x: O.svd(x, compute_uv=False),
    "in_top_k": lambda x: O.in_top_k(O.argmax(x[:, 0, :, 0], axis=-1), x[:, 1, :, 0], 2),
    "multi_hot": lambda x: O.multi_hot(O.argmax(x[:, 0], axis=-1), 4),
    "extract_sequences": lambda x: O.extract_sequences(O.swapaxes(x, -1, -2), 3, 1),
    "segment_sum": lambda x: O.segment_sum(O.round(x[0] * 4), np.array([0, 1, 1]), 2),
    "scatter": lambda x: O.scatter(np.array([[0], [2], [2]]), x[0], (4, 4, 2)),
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


@pytest.mark.sampled(50)
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
@pytest.mark.sampled(40)
@pytest.mark.parametrize(("axis", "keepdims"), [(None, False), *product([1, -1, (1, 2)], [False, True])])
@pytest.mark.parametrize("name", REDUCTIONS.split())
def test_reductions(name: str, axis: Any, keepdims: bool, agree: Callable[..., None]):
    agree(lambda x: getattr(O, name)(x, axis=axis, keepdims=keepdims), IMAGES if axis is not None else (5,))


@pytest.mark.parametrize("axis", [1, -1])
@pytest.mark.parametrize("name", (OF_ONE_AXIS + " " + ALONG).split())
def test_along_an_axis(name: str, axis: int, agree: Callable[..., None]):
    agree(lambda x: getattr(O, name)(x, axis=axis), IMAGES)


@pytest.mark.sampled(30)
@pytest.mark.parametrize("name", SHAPES)
def test_shapes(name: str, agree: Callable[..., None]):
    agree(SHAPES[name], IMAGES)


BACKWARDS = [
    np.s_[..., ::-1],
    np.s_[:, ::-1],
    np.s_[:, 2:0:-1, None, 1, ::-1],
    np.s_[:, -1::-2, ..., 0],
]


@pytest.mark.parametrize("key", BACKWARDS, ids=str)
def test_slices_go_backwards_which_keras_cannot_on_torch(key: Any):
    start = keras.Input(IMAGES)
    net, _ = rt.keras.from_config(keras.Model(start, start[key]).to_json())
    x = np.random.default_rng(0).random((3, *IMAGES), dtype="float32")
    y = net(torch.from_numpy(x).movedim(-1, 1))
    np.testing.assert_array_equal(y.movedim(1, -1) if y.ndim > 3 else y, x[key])


def test_whole_numbers_and_truth_values():
    i, b = keras.Input((3,), dtype="int32"), keras.Input((3,), dtype="bool")
    far = O.clip(O.maximum(i % 5, 1), 0, 3) + 0.0 * O.cast(b, "float32")
    model = keras.Model([i, b], [far, i // 2, i / 4, O.max(i, axis=1), O.where(b, 1.0, -1.0), keras.layers.Dense(2)(i)])
    net, _ = rt.keras.from_config(model.to_json())
    rt.keras.load_weights(net, model.get_weights())
    x = torch.tensor([[7, 8, -9]], dtype=torch.int32), torch.tensor([[True, False, True]])
    for ours, theirs in zip(net(*x), model(list(x)), strict=True):
        torch.testing.assert_close(ours, theirs, check_dtype=False)


@pytest.mark.parity("TensorFlow's functions in nets", "Keras 2.14 (TensorFlow), float64")
def test_tensorflows_functions(compare: Compare):
    record = json.loads(Path(__file__).with_name("operations-keras-2.14.json").read_text(encoding="utf-8"))
    net, _ = rt.keras.from_config(record["model"])
    values = net(torch.tensor(record["x"], dtype=torch.float64).movedim(-1, 1))
    assert len(values) == len(record["outputs"]) > 20
    for ours, theirs in zip(values, record["outputs"], strict=True):
        # TensorFlow resizes in float32.
        compare(ours.movedim(1, -1) if ours.ndim > 3 else ours, torch.tensor(theirs, dtype=torch.float64), within=3e-7)
