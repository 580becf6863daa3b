"""Nets of live keras.applications, with random weights, with and without their top."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
import torch
from comparing import Compare

import keras
import regtorch as rt

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        "ignore:__array__ implementation:DeprecationWarning",  # Keras's
        "ignore:.*`input_shape` is undefined or non-square:UserWarning",
    ),
]
WITHIN = 3e-6  # rounding in float32, up to 2e-6; ConvNeXtBase in float64 differs by 4e-15
FAMILIES = (
    "ConvNeXt",
    "DenseNet",
    "EfficientNetB",
    "EfficientNetV2B",
    "EfficientNetV2S",
    "InceptionResNet",
    "MobileNet",
)
NAMES = sorted(
    name for name, make in vars(keras.applications).items() if inspect.isfunction(make) and name.startswith(FAMILIES)
)


def made(name: str, top: bool) -> Any:
    """Keras's net; without its top it takes small images, with it there is no softmax, which would spread rounding."""
    settings: dict[str, Any] = {"classifier_activation": None} if top else {"input_shape": (96, 96, 3)}
    return getattr(keras.applications, name)(weights=None, include_top=top, **settings)


def moved(variable: Any, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """A variable's value with noise; variances stay positive."""
    value = variable.numpy()
    if value.dtype.kind != "f":
        return value
    noise = rng.standard_normal(value.shape, dtype=np.float32)
    return abs(value + 0.1 * noise) + 0.1 if "var" in variable.path else value + 0.02 * noise


@pytest.mark.parity("keras.applications: outputs, {top}", "Keras 3 (torch), float32")
@pytest.mark.parametrize("top", ["with top", "without top"])
@pytest.mark.parametrize("name", NAMES)
def test_an_application(name: str, top: str, compare: Compare):
    keras.utils.set_random_seed(0)
    theirs = made(name, top == "with top")
    rng = np.random.default_rng(0)
    theirs.set_weights([moved(variable, rng) for variable in theirs.weights])
    ours, _ = rt.keras.from_config(theirs.to_json())
    rt.keras.load_weights(ours, theirs.get_weights())
    x = 255 * torch.rand(1, *(n or 96 for n in theirs.input_shape[1:]))
    with torch.no_grad():
        expected, y = theirs(x, training=False), ours.eval()(x.movedim(-1, 1))
    compare(y.movedim(1, -1) if y.ndim >= 4 else y, expected, within=WITHIN)
