"""Optimizers from their Keras configs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import regtorch as rt

OPTIMIZERS: list[tuple[Any, Callable[[Any], bool]]] = [
    ("adam", lambda o: type(o) is rt.keras.Adam and o.defaults["eps"] == 1e-7),
    ({"class_name": "SGD", "config": {"learning_rate": 0.5, "momentum": 0.9}}, lambda o: o.defaults["momentum"] == 0.9),
    (
        {"class_name": "Adam", "config": {"beta_1": 0.0, "learning_rate": 0.0, "epsilon": 0.0}},
        lambda o: o.defaults["betas"] == (0.0, 0.999) and o.defaults["lr"] == o.defaults["eps"] == 0,
    ),
    ('{"class_name": "AdamW", "config": {"weight_decay": 0.0}}', lambda o: o.defaults["weight_decay"] == 0),
    ({"module": "keras.optimizers.legacy", "class_name": "SGD", "config": {"decay": 0.0}}, lambda o: True),
    ({"name": "RMSprop_1", "rho": 0.8, "weight_decay": None}, lambda o: o.defaults["alpha"] == 0.8),
]


@pytest.mark.parametrize(("identifier", "holds"), OPTIMIZERS)
def test_optimizers(identifier: Any, holds: Callable[[Any], bool]):
    assert holds(rt.keras.optimizer(identifier, [nn.Parameter(torch.ones(1))]))


@pytest.mark.parametrize(
    ("identifier", "message"),
    [
        ("lamb", "optimizer: 'lamb' is not supported; supported are SGD, Adam"),
        ({"name": "Adam", "clipnorm": 1.0}, "Adam with clipnorm=1.0 is not supported"),
        ({"name": "RMSprop", "decay": 0.0, "momentum": 0.0}, "Keras's legacy RMSprop adds epsilon outside the root"),
        ({"name": "SGD", "weight_decay": 0.1}, "SGD with weight_decay=0.1 is not supported"),
        (
            {"name": "SGD", "learning_rate": {"class_name": "CosineDecay", "config": {}}},
            "learning rate schedule is not",
        ),
    ],
)
def test_optimizers_that_are_not_supported(identifier: Any, message: str):
    with pytest.raises(ValueError, match=message):
        rt.keras.optimizer(identifier, [nn.Parameter(torch.ones(1))])
