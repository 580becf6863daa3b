"""Whose a class in Keras's JSON is: Keras's own, one of its operations', or someone's who gave it the same name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["is_operation", "is_own"]

_PACKAGES = ("keras", "tf_keras", "tensorflow")  # that hold Keras's own classes


def is_own(config: Mapping[str, Any]) -> bool:
    """Whether a serialized object's class is someone's own, whatever its name.

    Since 2.13 Keras writes its classes' module, and null for one of the program itself; a registered name says that the
    class is not one of its public ones. Before, an own class that was not registered looks exactly like Keras's.
    """
    name, registered = str(config.get("class_name")), config.get("registered_name")
    if ">" in name or registered not in (None, name):
        return True
    if "module" not in config:
        return registered is not None
    return _parts(config)[0] not in _PACKAGES


def is_operation(config: Mapping[str, Any]) -> bool:
    """Whether it is a call of `keras.ops`, whose classes have the names of layers but not their settings."""
    return "ops" in _parts(config)


def _parts(config: Mapping[str, Any]) -> list[str]:
    return str(config.get("module")).split(".")
