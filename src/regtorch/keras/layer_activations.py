"""Layers that Keras's layers take as their activations, as `Dense(3, activation=LeakyReLU())` does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from regtorch.checks import shown
from regtorch.keras.origin import is_user_defined
from regtorch.keras.spec import COMMON, Spec

__all__ = ["with_activations"]

_ELEMENTWISE = ("LeakyReLU", "ReLU", "ELU", "ThresholdedReLU")  # they have no weights
_KINDS = (*_ELEMENTWISE, "Softmax", "Activation")


def with_activations(spec: Spec, layers: Mapping[str, Callable[[Spec], nn.Module]]) -> Mapping[str, Any]:
    """A layer's config with names and modules in place of the layers among its activations.

    Args:
        spec: the layer's config and input.
        layers: what makes a module of each class of Keras's.

    Raises:
        ValueError: a setting of the activation is not supported.
    """
    config = dict(spec.config)
    for key in ("activation", "recurrent_activation"):
        identifier = config.get(key)
        if isinstance(identifier, Mapping) and _is_layer(identifier):
            config[key] = _made(key, identifier, spec, layers)
    return config


def _is_layer(identifier: Mapping[str, Any]) -> bool:
    known = identifier.get("class_name") in _KINDS and isinstance(identifier.get("config"), Mapping)
    return known and not is_user_defined(identifier)


def _made(key: str, identifier: Mapping[str, Any], of: Spec, layers: Mapping[str, Callable[[Spec], nn.Module]]) -> Any:
    kind, spec = identifier["class_name"], replace(of, config=identifier["config"], used=set())
    try:
        if spec.get("activity_regularizer") is not None:
            raise ValueError("an activity_regularizer of an activation is not supported; give it to the layer")
        if kind in _ELEMENTWISE:
            made: Any = layers[kind](spec)
        elif kind == "Softmax":
            if spec.get("axis", -1) not in (-1, [-1]):
                raise ValueError(f"axis={shown(spec.get('axis'))} is not supported; give the layer after this one")
            made = "softmax"
        else:
            made = with_activations(spec, layers).get("activation")
            spec.get("activation")
        spec.refuse_unused(COMMON)
    except ValueError as error:
        raise ValueError(f"its {key} {kind}: {error}") from None
    return made
