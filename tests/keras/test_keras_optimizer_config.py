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
        ({"clipnorm": "x"}, "SGD: clipnorm must be a finite number of at least 0, received 'x'"),
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
        ("sam", "optimizer: 'sam' is not supported.*supported are SGD, Adam"),
        ({"name": "Adam", "trust": 1.0}, "Adam with trust=1.0 is not supported; supported are learning_rate"),
        ({"name": "Adam", "clipnorm": 1.0, "clipvalue": 1.0}, "Adam: give one of clipnorm, clipvalue, global_clipnorm"),
        ({"name": "Adam", "gradient_accumulation_steps": 1}, "gradient_accumulation_steps must be a whole number of"),
        ({"name": "Adam", "ema_momentum": 2.0}, "Adam: ema_momentum must be a number from 0 to 1, received 2.0"),
        (
            {"name": "SGD", "learning_rate": {"class_name": "CosineDecay", "config": {}}},
            "CosineDecay needs initial_learning_rate, decay_steps; received",
        ),
        (
            {"name": "SGD", "learning_rate": {"class_name": "Warmup", "config": {}}},
            "learning_rate: 'Warmup' is not supported; supported are ExponentialDecay",
        ),
        ({"class_name": "LossScaleOptimizer", "config": {}}, "a LossScaleOptimizer needs an inner_optimizer"),
    ],
)
def test_optimizers_that_are_not_supported(identifier: Any, message: str):
    with pytest.raises(ValueError, match=message):
        rt.keras.optimizer(identifier, [nn.Parameter(torch.ones(1))])
