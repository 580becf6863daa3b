"""Preprocessing layers of live Keras 3."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from comparing import Compare
from following import follow

import keras
import regtorch as rt
from keras_json import build, layer

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's
L = keras.layers
FEATURES, STEPS, IMAGES = (6,), (5, 6), (4, 5, 3)
SIX = [0.1, 2.0, -0.3, 4.0, 0.0, 1.0]
POSITIVE = [0.1, 2.0, 0.3, 4.0, 0.0, 1.0]


def adapted(**settings: Any) -> Any:
    layer = L.Normalization(**settings)
    layer.adapt(np.random.default_rng(0).normal(3.0, 2.0, (40, *IMAGES)))
    return layer


LAYERS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "normalization": (lambda: L.Normalization(mean=SIX, variance=POSITIVE), FEATURES),
    "normalization, a number": (lambda: L.Normalization(mean=2.0, variance=3.0), IMAGES),
    "normalization, inverse": (lambda: L.Normalization(mean=SIX, variance=POSITIVE, invert=True), STEPS),
    "normalization, no axis": (lambda: L.Normalization(axis=None, mean=1.0, variance=4.0), STEPS),
    "normalization, rows": (lambda: L.Normalization(axis=1, mean=SIX[:4], variance=POSITIVE[:4]), IMAGES),
    "normalization, two axes": (lambda: L.Normalization(axis=(1, 3), mean=SIX[:3], variance=POSITIVE[:3]), IMAGES),
    "normalization, weights": (lambda: L.Normalization(), IMAGES),
    "normalization, adapted": (adapted, IMAGES),
    "normalization, adapted along rows": (lambda: adapted(axis=(1, -1), invert=True), IMAGES),
    "normalization, adapted to all": (lambda: adapted(axis=None), IMAGES),
    "rescaling": (lambda: L.Rescaling(1 / 127.5, offset=-1.0), IMAGES),
    "rescaling by lists": (lambda: L.Rescaling([1.0, 2.0, 3.0], offset=[0.0, 0.5, 1.0]), IMAGES),
    "rescaling by an array": (lambda: L.Rescaling(np.array([1.0, 2.0, 3.0]), offset=0.5), IMAGES),
    "bins, one-hot": (lambda: L.Discretization([-1.0, 0.0, 0.5], output_mode="one_hot"), STEPS),
    "bins, multi-hot": (lambda: L.Discretization([-1.0, 0.0, 0.5], output_mode="multi_hot"), FEATURES),
    "bins, counted": (lambda: L.Discretization([-1.0, 0.0, 0.5], output_mode="count"), FEATURES),
    "centre": (lambda: L.CenterCrop(2, 3), IMAGES),
    "centre, larger": (lambda: L.CenterCrop(6, 3), IMAGES),
    "centre, wider": (lambda: L.CenterCrop(3, 8), IMAGES),
    "resizing": (lambda: L.Resizing(7, 8), IMAGES),
    "resizing, smaller": (lambda: L.Resizing(2, 3), IMAGES),
    "resizing, nearest": (lambda: L.Resizing(7, 3, interpolation="nearest"), IMAGES),
    "resizing, antialias": (lambda: L.Resizing(2, 3, antialias=True), IMAGES),
    "resizing, cropped": (lambda: L.Resizing(6, 2, crop_to_aspect_ratio=True), IMAGES),
    "resizing, padded": (lambda: L.Resizing(6, 2, pad_to_aspect_ratio=True, fill_value=0.3), IMAGES),
    "resizing, padded at the sides": (lambda: L.Resizing(3, 9, pad_to_aspect_ratio=True), IMAGES),
    # Tiles of 16 · 16, one pixel of padding: Keras's torch backend cuts limits to whole numbers, and pads more wrongly.
    "tiles": (lambda: L.ContrastLimitedAdaptiveHistogramEqualization((-1, 2), 2.0, (2, 3)), (31, 47, 2)),
    "tiles of bytes": (lambda: L.ContrastLimitedAdaptiveHistogramEqualization(tile_grid_size=(1, 2)), (16, 32, 1)),
    "tiles without a limit": (lambda: L.ContrastLimitedAdaptiveHistogramEqualization((-2, 2), 0.0, (1, 2)), IMAGES),
    "contrast": (lambda: L.AutoContrast(value_range=(0, 1)), IMAGES),
    "contrast of bytes": (lambda: L.AutoContrast(), IMAGES),
}


@pytest.mark.parity("preprocessing: values and gradients", "Keras 3 (torch), float64")
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer(name: str, compare: Compare, floatx: Callable[[str], None]):
    floatx("float64")
    make, shape = LAYERS[name]
    # Keras computes these in float32, whatever the dtype.
    within = 1e-6 if name.startswith(("contrast", "normalization", "tiles")) else 1e-12
    follow(keras.Sequential([keras.Input(shape), make()]), compare, within=within)


@pytest.mark.parity("categories and bins", "Keras 3 (torch)")
@pytest.mark.parametrize("mode", ["one_hot", "multi_hot", "count"])
@pytest.mark.parametrize("shape", [(1,), (3,)])
def test_categories(mode: str, shape: tuple[int, ...], compare: Compare):
    follow(
        keras.Sequential([keras.Input(shape, dtype="int32"), L.CategoryEncoding(6, output_mode=mode)]),
        compare,
        within=0,
    )


@pytest.mark.parity("categories and bins", "Keras 3 (torch)")
def test_weighted_counts(compare: Compare):
    x, weights = keras.Input((3,), dtype="int32"), keras.Input((3,))
    follow(keras.Model([x, weights], L.CategoryEncoding(6, output_mode="count")(x, count_weights=weights)), compare)


@pytest.mark.parity("categories and bins", "Keras 3 (torch)")
def test_indices_of_bins(compare: Compare):
    theirs = keras.Sequential([keras.Input(IMAGES), L.Discretization([-1.0, 0.0, 0.5])])
    ours, _ = rt.keras.from_config(theirs.to_json())
    x = torch.cat([torch.randn(3, *IMAGES), torch.tensor([-1.0, 0.0, 0.5]).expand(1, *IMAGES)])
    y = ours(x.movedim(-1, 1)).movedim(1, -1)
    assert y.dtype == torch.int64
    compare(y, theirs(x), within=0)


@pytest.mark.filterwarnings("ignore:Tensor.T is deprecated:UserWarning")  # Keras's
@pytest.mark.parity("equalized images", "Keras 3 (torch)")
@pytest.mark.parametrize("settings", [{}, {"value_range": (-1, 3), "bins": 7}, {"value_range": (0, 1)}])
def test_equalized_images(settings: dict[str, Any], compare: Compare):
    """Keras itself puts none into a functional net."""
    ours, _ = build(layer("Equalization", **settings), shape=(None, 40, 50, 3))
    theirs = L.Equalization(**settings)
    high = settings.get("value_range", (0, 255))[1]
    for x in (torch.rand(2, 40, 50, 3) * high, torch.full((2, 40, 50, 3), high / 3)):
        x = x.round() if high == 255 else x
        for training in (True, False):
            y = ours.train(training)(x.movedim(-1, 1)).movedim(1, -1)
            compare(y, theirs(x, training=training), within=1e-6)
