"""Norms, resampling, transposed convolutions and merges of live Keras 3 with each of their settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from importlib.util import find_spec
from itertools import product
from multiprocessing import get_context
from typing import Any

import jax_resizing
import pytest
import torch
from comparing import Compare
from following import follow

import keras
import regtorch as rt
from regtorch.keras.layers.resampling import resize
from thinned import thinned

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's
L, R, C = keras.layers, keras.regularizers, keras.constraints
RULES: dict[str, Any] = {"gamma_regularizer": "l2", "beta_regularizer": "l1", "gamma_constraint": C.MaxNorm(0.9)}
FEATURES, STEPS, IMAGES, VOLUMES = (6,), (5, 6), (4, 5, 6), (2, 3, 4, 6)
BATCH: Any = {"renorm": True, "momentum": 0.8}
CLIPPING = {"rmin": 0.5, "rmax": 1.5, "dmax": 0.2}

LAYERS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "group": (lambda: L.GroupNormalization(3, **RULES), IMAGES),
    "group, of each channel": (lambda: L.GroupNormalization(-1, epsilon=0.1), STEPS),
    "group, along rows": (lambda: L.GroupNormalization(2, axis=1), IMAGES),
    "group, plain": (lambda: L.GroupNormalization(2, scale=False, center=False), VOLUMES),
    "group, features": (lambda: L.GroupNormalization(2), FEATURES),
    "layer": (lambda: L.LayerNormalization(**RULES), IMAGES),
    "layer, all axes": (lambda: L.LayerNormalization(axis=[1, 2, 3]), IMAGES),
    "layer, last axis of steps": (lambda: L.LayerNormalization(axis=2, center=False), STEPS),
    "layer, two axes": (lambda: L.LayerNormalization(axis=[1, 3]), IMAGES),
    "layer, negative axes": (lambda: L.LayerNormalization(axis=[-2, 2]), VOLUMES),
    "layer, only center": (lambda: L.LayerNormalization(scale=False), STEPS),
    "rms": (lambda: L.RMSNormalization(), IMAGES),
    "rms, two axes": (lambda: L.RMSNormalization(axis=[-2, -1], epsilon=0.1), IMAGES),
    "rms, features": (lambda: L.RMSNormalization(), FEATURES),
    "unit": (lambda: L.UnitNormalization(), IMAGES),
    "unit, two axes": (lambda: L.UnitNormalization(axis=[1, -1]), IMAGES),
    "unit, steps": (lambda: L.UnitNormalization(axis=1), STEPS),
    "batch renorm": (lambda: L.BatchNormalization(**BATCH), FEATURES),
    "batch renorm, clipped": (lambda: L.BatchNormalization(renorm_clipping=CLIPPING, **BATCH), IMAGES),
    "batch renorm, own momentum": (lambda: L.BatchNormalization(renorm_momentum=0.5, center=False, **BATCH), IMAGES),
    "batch renorm, rows": (lambda: L.BatchNormalization(axis=1, scale=False, **BATCH), IMAGES),
    "spectral, dense": (lambda: L.SpectralNormalization(L.Dense(3, kernel_regularizer="l2")), FEATURES),
    "spectral, three iterations": (lambda: L.SpectralNormalization(L.Conv2D(3, 2), power_iterations=3), IMAGES),
    "spectral, no bias": (lambda: L.SpectralNormalization(L.Conv1D(3, 2, use_bias=False)), STEPS),
    "adaptive mean": (lambda: L.AdaptiveAveragePooling2D((3, 2)), IMAGES),
    "adaptive maximum": (lambda: L.AdaptiveMaxPooling2D(3), IMAGES),
    "adaptive, steps": (lambda: L.AdaptiveAveragePooling1D(3), STEPS),
    "adaptive, volumes": (lambda: L.AdaptiveAveragePooling3D((2, 2, 3)), VOLUMES),
    "up, nearest": (lambda: L.UpSampling2D((2, 3)), IMAGES),
    "up, bilinear": (lambda: L.UpSampling2D((2, 3), interpolation="bilinear"), IMAGES),
    "up, volumes": (lambda: L.UpSampling3D((1, 2, 3)), VOLUMES),
    "dropout of noise_shape": (lambda: L.Dropout(0.0, noise_shape=(None, 1, 6)), STEPS),
} | {
    f"transposed, {padding}, {stride}, {kernel}, {extra}": (
        lambda p=padding, s=stride, k=kernel, e=extra: L.Conv2DTranspose(2, k, strides=s, padding=p, output_padding=e),
        IMAGES,
    )
    for padding in ("same", "valid")
    for stride in (2, 3)
    for kernel in (2, 3, 4)
    for extra in (None, 0, 1)
}


@pytest.mark.sampled(30)
@pytest.mark.parity("norms, resampling: values, gradients, training steps", "Keras 3 (torch), float64")
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer(name: str, compare: Compare, floatx: Callable[[str], None]):
    floatx("float64")
    keras.utils.set_random_seed(0)
    make, shape = LAYERS[name]
    follow(keras.Sequential([keras.Input(shape), make()]), compare)


MERGES = ["Add", "Multiply", "Average", "Maximum", "Minimum", "Subtract"]


@pytest.mark.parity("merges of unequal ranks", "Keras 3 (torch), float64")
@pytest.mark.parametrize("kind", MERGES)
@pytest.mark.parametrize("shapes", [((4, 5, 6), (6,)), ((4, 5, 6), (5, 6)), ((6,), (5, 6)), ((4, 5, 6), (1, 1, 6))])
def test_merges(kind: str, shapes: Any, compare: Compare, floatx: Callable[[str], None]):
    floatx("float64")
    inputs = [keras.Input(shape) for shape in shapes]
    follow(keras.Model(inputs, getattr(L, kind)()(inputs)), compare)


@pytest.fixture(scope="module")
def jaxs() -> Iterator[Executor]:
    """A process with JAX."""
    if find_spec("jax") is None:
        pytest.skip("jax is not installed")
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        yield pool


MODES = ["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"]
SIZES = thinned(  # each size by each mode, with and without smoothing in turn
    product([(7, 9), (3, 2), (5, 14), (1, 1)], MODES, [False, True]),
    lambda size, mode, antialias: (size[0] // 2 + MODES.index(mode)) % 2 == antialias,
)


@pytest.mark.sampled(6)
@pytest.mark.parity("resizing", "JAX, float32")
@pytest.mark.parametrize(("size", "mode", "antialias"), SIZES)
def test_resizing_is_jaxs(mode: str, size: tuple[int, int], antialias: bool, compare: Compare, jaxs: Executor):
    x = torch.rand(2, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    method = {"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode)
    expected = jaxs.submit(jax_resizing.resized, x.tolist(), size, method, antialias).result()
    compare(resize(x, size, mode, antialias), torch.tensor(expected), within=2e-6)


def test_what_is_dropped_together():
    net, _ = rt.keras.from_config(
        keras.Sequential([keras.Input((50, 6)), L.Dropout(0.5, noise_shape=(None, 1, None))]).to_json()
    )
    y = net(torch.ones(40, 50, 6))
    assert torch.equal(y, y[:, :1].expand(-1, 50, -1))
    assert set(y.unique().tolist()) == {0.0, 2.0}
    assert 0.3 < (y == 0).float().mean() < 0.7
