"""Single layers and activations of live Keras 3, and the differences between Keras 2 and 3."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from comparing import Compare
from torch.nn import functional as F

import keras
import regtorch as rt
from regtorch.keras.activations import _ACTIVATIONS
from regtorch.keras.initializers import _INITIALIZERS, initialize

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's


def one_layer(layer: Any, shape: tuple[int, ...], **options: Any) -> tuple[Any, torch.nn.Module]:
    theirs = keras.Sequential([keras.Input(shape), layer])
    ours, _ = rt.keras.from_config(theirs.to_json(), **options)
    return theirs, ours


@pytest.mark.parity("activations: values and gradients", "Keras 3 (torch), float64")
@pytest.mark.parametrize("name", _ACTIVATIONS)
def test_activations(name: str, compare: Compare, floatx: Callable[[str], None]):
    floatx("float64")
    theirs, ours = one_layer(keras.layers.Activation(name), (4, 3, 6))
    x = torch.linspace(-60, 60, 2 * 72, dtype=torch.float64).reshape(2, 4, 3, 6).roll(7, -1)
    x = x / 4 if name in ("exponential", "softplus") else x  # Keras's softplus is linear above 20
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    expected, value = theirs(a), ours(b.movedim(-1, 1)).movedim(1, -1)
    compare(value, expected, within=1e-12)
    weights = torch.rand(expected.shape, dtype=torch.float64)
    (expected * weights).sum().backward()
    (value * weights).sum().backward()
    compare(b.grad, a.grad, within=1e-12)


@pytest.mark.parity("initializers: mean, deviation and quantile of 40,000 draws", "Keras 3 (torch)")
@pytest.mark.parametrize("name", [n for n in _INITIALIZERS if not n.startswith(("Orthogonal", "Identity"))])
@pytest.mark.parametrize("shape", [(200, 200), (5, 4, 20, 100), (40_000,)])
def test_initializers(name: str, shape: tuple[int, ...], compare: Compare):
    keras.utils.set_random_seed(0)
    theirs = keras.ops.convert_to_numpy(getattr(keras.initializers, name)()(shape))
    ours = initialize(name, shape, torch.Generator().manual_seed(0)).numpy()
    scale = max(1e-12, float(np.abs(theirs).max()))
    compare(ours.std() / scale, theirs.std() / scale, within=0.03)
    compare(ours.mean() / scale + 1, theirs.mean() / scale + 1, within=0.03)
    compare(np.quantile(np.abs(ours), 0.999), np.quantile(np.abs(theirs), 0.999), within=0.05)


@pytest.mark.parametrize("name", ["Orthogonal", "Identity"])
def test_matrix_initializers(name: str):
    ours = initialize({"class_name": name, "config": {"gain": 2.0}}, (6, 4), torch.Generator().manual_seed(0))
    torch.testing.assert_close(ours.T @ ours, 4.0 * torch.eye(4, dtype=torch.float64))


NOISE = {
    "GaussianDropout": keras.layers.GaussianDropout(0.3),
    "GaussianNoise": keras.layers.GaussianNoise(0.3),
    "AlphaDropout": keras.layers.AlphaDropout(0.3),
    "SpatialDropout1D": keras.layers.SpatialDropout1D(0.3),
    "Dropout": keras.layers.Dropout(0.3),
}


@pytest.mark.parity("noise layers: mean and deviation of 400,000 outputs", "Keras 3 (torch)")
@pytest.mark.parametrize("name", NOISE)
def test_noise_layers_are_built_and_alike(name: str, compare: Compare):
    torch.manual_seed(0)
    theirs, ours = one_layer(NOISE[name], (40, 100))
    x = torch.ones(100, 40, 100)
    a, b = ours(x), theirs(x, training=True)
    compare(a.mean(), b.mean(), within=0.02)
    compare(a.std(), b.std(), within=0.02)
    torch.testing.assert_close(ours.eval()(x), x)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("version", [2, 3])
def test_the_moving_variance_of_images_and_features(version: int, dtype: str):
    for shape, images in (((8, 5), False), ((8, 5, 6), False), ((8, 5, 6, 4), True), ((4, 5, 3, 2, 6), True)):
        norm = rt.keras.BatchNorm(5, momentum=0.1, version=version).to(getattr(torch, dtype))
        x = torch.randn(shape, dtype=getattr(torch, dtype))
        dims = [dim for dim in range(x.ndim) if dim != 1]
        unbiased = version == 2 and images and dtype == "float32"
        expected = 0.9 + 0.1 * x.var(dims, correction=1 if unbiased else 0)
        torch.testing.assert_close(norm(x), F.batch_norm(x, None, None, training=True, eps=1e-3))
        torch.testing.assert_close(norm.running_var, expected, rtol=1e-6, atol=0)
        torch.testing.assert_close(norm.running_mean, 0.1 * x.mean(dims), rtol=1e-5, atol=1e-7)
        expected = F.batch_norm(x, norm.running_mean, norm.running_var, eps=1e-3)
        torch.testing.assert_close(norm.eval()(x), expected)


def test_keras_3_keeps_the_biased_variance():
    theirs, ours = one_layer(keras.layers.BatchNormalization(momentum=0.5), (6, 4, 3))
    x = np.random.default_rng(0).standard_normal((5, 6, 4, 3)).astype("float32")
    theirs(x, training=True)
    ours(torch.from_numpy(x).movedim(-1, 1))
    for a, b in zip(rt.keras.get_weights(ours), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


def test_a_single_value_per_channel_is_its_own_mean():
    norm = rt.keras.BatchNorm(3, momentum=1.0)
    x = torch.tensor([[1.0, -2.0, 5.0]], requires_grad=True)
    y = norm(x)
    torch.testing.assert_close(y, torch.zeros(1, 3))
    torch.testing.assert_close(norm.running_mean, x.detach()[0])
    y.sum().backward()
    torch.testing.assert_close(x.grad, torch.zeros(1, 3))


def test_an_empty_batch_changes_nothing():
    norm = rt.keras.BatchNorm(3)
    assert norm(torch.zeros(0, 3)).shape == (0, 3)
    torch.testing.assert_close(norm.running_var, torch.ones(3))


def test_it_stays_itself_where_torchs_own_are_exchanged():
    net = torch.nn.Sequential(rt.keras.BatchNorm(3, trainable=False), torch.nn.BatchNorm1d(3))
    converted = torch.nn.SyncBatchNorm.convert_sync_batchnorm(net)
    assert [type(m).__name__ for m in converted.children()] == ["BatchNorm", "SyncBatchNorm"]


def test_selu_at_0_in_keras_2():
    x = torch.zeros(1, 1, dtype=torch.float64, requires_grad=True)
    one_layer(keras.layers.Activation("selu"), (1,), version=2)[1](x).sum().backward()
    assert x.grad.item() == pytest.approx(1.0507009873554805)


@pytest.mark.parametrize("arguments", [{"momentum": 5.0}, {"eps": -1.0}, {"version": 4}])
def test_bad_arguments(arguments: Any):
    with pytest.raises(ValueError, match=f"BatchNorm: {next(iter(arguments))} must"):
        rt.keras.BatchNorm(3, **arguments)


def test_a_frozen_batch_norm_keeps_its_averages_in_training():
    theirs, ours = one_layer(keras.layers.BatchNormalization(trainable=False), (3,))
    x = np.random.default_rng(0).standard_normal((5, 3)).astype("float32") + 4
    np.testing.assert_allclose(ours(torch.from_numpy(x)).detach(), theirs(x, training=True).detach(), rtol=1e-6)
    assert not any(p.requires_grad for p in ours.parameters())
    torch.testing.assert_close(ours.get_submodule(theirs.layers[0].name).running_mean, torch.zeros(3))


def test_hard_sigmoid_is_another_function_in_each_version():
    x = torch.linspace(-4, 4, 33)
    layer = keras.layers.Activation("hard_sigmoid")
    second, third = (one_layer(layer, (33,), version=version)[1](x[None])[0] for version in (2, 3))
    torch.testing.assert_close(second, (0.2 * x + 0.5).clamp(0, 1))
    torch.testing.assert_close(third, ((x + 3) / 6).clamp(0, 1))


def test_keras_2_has_its_own_rounding():
    layer = keras.layers.LeakyReLU(negative_slope=0.1)
    slopes = [one_layer(layer, (1,), version=version)[1](-torch.ones(1, 1, dtype=torch.float64)) for version in (2, 3)]
    assert slopes[0].item() == -float(np.float32(0.1))
    assert slopes[1].item() == -0.1
