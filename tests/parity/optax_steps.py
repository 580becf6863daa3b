"""Steps of Optax on least squares, in a process of their own: where JAX runs, a fork warns and may hang.

Imports neither torch nor pytest, so that the process starts fast.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LR = 0.05


def rules(weight_decay: float) -> dict[str, Callable[[], Any]]:
    """Optax's optimizers, most with decay joined to the gradient; the names are those of test_weight_decay.py."""
    import optax

    def coupled(after: Any) -> Any:
        return optax.chain(optax.add_decayed_weights(weight_decay), after)

    return {
        "SGD": lambda: coupled(optax.sgd(LR)),
        "SGD momentum": lambda: coupled(optax.sgd(LR, momentum=0.9)),
        "SGD nesterov": lambda: coupled(optax.sgd(LR, momentum=0.9, nesterov=True)),
        "Adam": lambda: coupled(optax.adam(LR)),
        "RMSprop": lambda: coupled(optax.rmsprop(LR, decay=0.99, eps_in_sqrt=False)),
        "AdamW": lambda: optax.adamw(LR, weight_decay=weight_decay),
        # Each step w ← w - s·w beside lr·g, s not multiplied by the rate.
        "SGDW": lambda: optax.chain(optax.sgd(LR), optax.add_decayed_weights(-weight_decay)),
        "SGD clipped": lambda: optax.chain(
            optax.clip_by_global_norm(0.1), optax.add_decayed_weights(weight_decay), optax.sgd(LR)
        ),
    }


def train(name: str, weight_decay: float, w: Array, x: Array, y: Array, steps: int) -> Array:
    """The weights after `steps` steps on the mean squared error of x·w."""
    import jax
    import optax

    with jax.enable_x64(True):
        optimizer = rules(weight_decay)[name]()
        weights: Any = jax.numpy.asarray(w)
        state = optimizer.init(weights)
        gradient = jax.grad(lambda weights: ((x @ weights - y) ** 2).mean())
        for _ in range(steps):
            updates, state = optimizer.update(gradient(weights), state, weights)
            weights = optax.apply_updates(weights, updates)
        return np.asarray(weights)
