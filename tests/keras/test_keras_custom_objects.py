"""`custom_objects`: user-defined regularizers, constraints, initializers and activations in Keras's configs."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from test_keras_own_classes import FORMS, own
from torch import Tensor, nn

import regtorch as rt
from keras_json import START, build, call, dense, functional, sequential


class Cubes(rt.Penalty):
    """λ Σ|w|³."""

    lam: float = 0.1

    def __call__(self, w: Tensor) -> Tensor:
        return self.lam * w.abs().float().pow(3).sum() if w.dtype == torch.half else self.lam * w.abs().pow(3).sum()


class WithInit(rt.Penalty):
    """An __init__ of its own."""

    def __init__(self, power: int) -> None:
        super().__init__()
        self.power = power

    def __call__(self, w: Tensor) -> Tensor:
        return w.abs().pow(self.power).sum()


class Half(rt.NonNeg):
    """Below a half."""

    def __call__(self, w: Tensor) -> Tensor:
        return w.clamp(max=0.5)

    def project_(self, w: Tensor) -> Tensor:
        return w.clamp_(max=0.5)


CUSTOM: dict[str, Any] = {
    "Cubes": lambda config: Cubes(config["factor"]),
    "Power": lambda config: WithInit(config.get("power", 4)),
    "Half": lambda config: Half(),
    "Sevens": lambda config: lambda shape, generator: torch.full(shape, config.get("value", 7.0)),
    "cut": lambda config: nn.Threshold(0.2, 0.0),
    "L2": lambda config: rt.L1(config["l2"]),  # user-defined, with the name of one of Keras's
}


def node(name: str, form: dict[str, Any], **config: Any) -> dict[str, Any]:
    return own({"class_name": name, "config": config}, form)


@pytest.mark.parametrize("form", [*FORMS, {}])
def test_every_kind_in_a_net(form: dict[str, Any]):
    layers = (
        dense(
            kernel_regularizer=node("Cubes", form, factor=0.3),
            bias_regularizer=node("Power", form),
            kernel_constraint=node("Half", form),
            kernel_initializer=node("Sevens", form, value=5.0),
            activation=own({"class_name": "function", "config": "cut"}, {**form, "registered_name": "cut"}),
        ),
        dense("two", kernel_regularizer=node("Cubes", form, factor=0.3), activity_regularizer=node("L2", form, l2=0.5)),
    )
    net, rules = build(*layers, custom_objects=CUSTOM)
    assert rules == [
        Cubes(0.3, select="name:it.weight|name:two.weight"),
        *rules[1:2],
        rt.Activity(rt.L1(0.5, select="all"), select="name:two"),
        Half(select="name:it.weight"),
    ]
    assert (type(rules[1]), rules[1].power, rules[1].select) == (WithInit, 4, "name:it.bias")
    assert isinstance(net.get_submodule("it").activation, nn.Threshold)
    assert bool((net.get_parameter("it.weight") == 5).all())
    for rule in rules[:2]:
        rule.on(net).add_grad_()


def test_json_nested_nets_and_plain_names():
    inner = sequential(dense(kernel_regularizer="Cubes"))
    config = functional(START, ({**inner, "config": {**inner["config"], "name": "inner"}}, [call("start")]))
    custom = {"Cubes": lambda config: Cubes(config.get("factor", 2.0))}
    _, rules = rt.keras.from_config(json.dumps(config), custom_objects=custom)
    assert rules == [Cubes(2.0, select="name:inner.it.weight")]
    function = {"module": "builtins", "class_name": "function", "config": "Cubes", "registered_name": "function"}
    assert build(dense(kernel_regularizer=function), custom_objects=custom)[1] == [Cubes(2.0, select="name:it.weight")]


def test_identifiers():
    mine = node("Cubes", FORMS[1], factor=0.2)
    assert rt.keras.penalty(mine, custom_objects=CUSTOM, select="bias") == Cubes(0.2, select="bias")
    assert rt.keras.constraint(node("Half", FORMS[0]), custom_objects=CUSTOM, layer=nn.Linear(2, 2)) == Half()
    assert rt.keras.penalty("l1", custom_objects=CUSTOM) == rt.L1(0.01)
    assert rt.keras.penalty(None, custom_objects=CUSTOM) is None
    assert rt.keras.penalty(rt.L2(0.3), custom_objects=CUSTOM) == rt.L2(0.3)


def test_classes_without_a_factory_are_refused():
    with pytest.raises(
        ValueError, match=r"layer 'it' .*'Squares' is a user-defined class.*custom_objects={'Squares': a function"
    ):
        build(dense(kernel_regularizer=node("Squares", FORMS[0])), custom_objects=CUSTOM)
    with pytest.raises(ValueError, match=r"layer 'it' \(Squares\) is of a user-defined class"):
        build(own({"class_name": "Squares", "config": {"name": "it"}}, FORMS[0]), custom_objects=CUSTOM)


@pytest.mark.parametrize(
    ("custom", "said"),
    [
        ([1], "custom_objects must be a dict of functions or modules"),
        ({"Cubes": 3}, "custom_objects must be a dict of functions or modules"),
        ({3: len}, "custom_objects must be a dict of functions or modules"),
        (
            {"Cubes": lambda config: rt.NonNeg()},
            r"custom_objects\['Cubes'\] must return a penalty of regtorch for the regularizer",
        ),
        ({"Cubes": lambda config: None}, "must return a penalty of regtorch for the regularizer, received None"),
    ],
)
def test_invalid_custom_objects(custom: Any, said: str):
    config = node("Cubes", FORMS[0], factor=1.0)
    for call_ in (
        lambda: build(dense(kernel_regularizer=config), custom_objects=custom),
        lambda: rt.keras.penalty(config, custom_objects=custom),
    ):
        with pytest.raises(TypeError, match=said):
            call_()


@pytest.mark.parametrize(
    ("setting", "made", "error", "said"),
    [
        ("kernel_constraint", rt.L2(), TypeError, "must return a constraint of regtorch for the constraint"),
        ("activation", nn.PReLU(), TypeError, "must return a module without weights for the activation"),
        ("kernel_initializer", 3, TypeError, "must return a function of the shape in Keras's layout and a generator"),
        (
            "kernel_initializer",
            lambda shape, generator: torch.ones(2),
            ValueError,
            r"expected a tensor of shape \(4, 3\)",
        ),
    ],
)
def test_factories_that_return_the_wrong_kind(setting: str, made: Any, error: type[Exception], said: str):
    with pytest.raises(error, match=said):
        build(dense(**{setting: node("Mine", FORMS[0])}), custom_objects={"Mine": lambda config: made})
