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
    ("config", "message"),
    [
        ({"learning_rate": None}, "optimizer: SGD's learning_rate must be given, received null"),
        ({"learning_rate": False}, "SGD: lr must be a finite number"),
        ({"learning_rate": "0.1"}, "SGD: lr must be a finite number"),
        ({"learning_rate": float("nan")}, "SGD: lr must be a finite number"),
        ({"momentum": []}, "SGD: momentum must be a finite number"),
        ({"nesterov": "no"}, "SGD: nesterov must be True or False, received 'no'"),
        ({"nesterov": 1}, "SGD: nesterov must be True or False, received 1"),
        ({"nesterov": None}, "optimizer: SGD's nesterov must be given, received null"),
        ({"clipnorm": "x"}, "optimizer: SGD with clipnorm='x' is not supported"),
        ({3: 4}, "optimizer: a config's keys must be strings, received 3"),
    ],
)
def test_settings_of_another_kind(config: Any, message: str):
    with pytest.raises((TypeError, ValueError), match=message):
        rt.keras.optimizer({"class_name": "SGD", "config": config}, [nn.Parameter(torch.ones(1))])


@pytest.mark.parametrize("betas", [0.9, (0.9,), (0.9, 0.99, 0.999), (0.9, "0.9"), (0.9, True), None])
def test_betas_are_two_numbers(betas: Any):
    with pytest.raises(TypeError, match="Adam: betas must be"):
        rt.keras.Adam([nn.Parameter(torch.ones(1))], betas=betas)


def test_epsilon_may_be_left_to_its_default_but_the_decay_of_adamw_may_not():
    weights = [nn.Parameter(torch.ones(1))]
    assert rt.keras.optimizer({"class_name": "Adam", "config": {"epsilon": None}}, weights).defaults["eps"] == 1e-7
    with pytest.raises(ValueError, match="AdamW's weight_decay must be given, received null"):
        rt.keras.optimizer({"class_name": "AdamW", "config": {"weight_decay": None}}, weights)


@pytest.mark.parametrize(
    ("identifier", "message"),
    [
        ("lamb", "optimizer: 'lamb' is not supported; supported are SGD, Adam"),
        ({"name": "Adam", "clipnorm": 1.0}, "Adam with clipnorm=1.0 is not supported"),
        (
            {"name": "RMSprop", "decay": 0.0, "momentum": 0.0},
            "Keras's legacy RMSprop, which adds epsilon outside the root",
        ),
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
