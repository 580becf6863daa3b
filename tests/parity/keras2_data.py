"""How the recorded runs' weights and batches are made, with NumPy alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def weights(case: dict[str, Any]) -> list[Array]:
    """The start, drawn in Keras's order and layout."""
    rng = np.random.default_rng(case["weight_seed"])
    scaled: dict[str, Callable[[Array], Array]] = {
        "kernel": lambda a: a * math.sqrt(2 / max(1, math.prod(a.shape[:-1]))),
        "gamma": lambda a: 1 + 0.1 * a,
        "moving_variance": lambda a: 1 + 0.1 * np.abs(a),
    }
    return [scaled.get(name, lambda a: 0.1 * a)(rng.standard_normal(shape)) for name, shape in case["weights"]]


def batch(case: dict[str, Any], seed: int, shape: tuple[int, ...], outputs: int) -> tuple[Array, Array]:
    """Inputs, channels last, and targets; class indices where the loss is categorical."""
    rng = np.random.default_rng(seed)
    n = case["batch_size"]
    x = rng.random((n, *shape))
    if case["loss"] == "mse":
        return x, rng.random((n, outputs))
    if case["loss"] == "binary_crossentropy":
        return x, rng.integers(0, 2, (n, 1)).astype(float)
    return x, rng.integers(0, outputs, n)
