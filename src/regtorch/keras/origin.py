"""Whether a class in Keras's JSON is Keras's own, a `keras.ops` operation, or user-defined under the same name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

__all__ = ["is_operation", "is_user_defined", "with_layer_modules", "with_modules"]

_LAYERS = ("layers", "cells", "layer", "backward_layer", "cell")  # where configs have other layers
_MODULES = {  # of classes that are not in keras.layers
    "Sequential": "keras",
    "Functional": "keras.src.models.functional",
    "Model": "keras.src.models.functional",
    "LayerScale": "keras.src.applications.convnext",
    "CustomScaleLayer": "keras.src.applications.inception_resnet_v2",
}
_PACKAGES = ("keras", "tf_keras", "tensorflow")  # where Keras's own classes are defined


def is_user_defined(config: Mapping[str, Any]) -> bool:
    """Whether a serialized object's class is user-defined, whatever its name.

    Since 2.13 Keras writes the module of a class, null for the main program's, and a registered name for classes that
    are not public ones of Keras. In older JSON, an unregistered user-defined class looks exactly like Keras's.
    """
    name, registered = str(config.get("class_name")), config.get("registered_name")
    if ">" in name or registered not in (None, name):
        return True
    if "module" not in config:
        return registered is not None
    return _parts(config)[0] not in _PACKAGES


def is_operation(config: Mapping[str, Any]) -> bool:
    """Whether it is a call of `keras.ops` or, in Keras 2, of TensorFlow.

    The classes of `keras.ops` share names with layers but have other settings.
    """
    return "ops" in _parts(config) or config.get("class_name") in ("TFOpLambda", "SlicingOpLambda")


def with_modules(tree: Any, operations: Collection[str]) -> Any:
    """A config in which calls of `keras.ops` have their module, which Keras 3 leaves out in `model.h5`.

    It tells them from layers of the same name. Every layer of Keras 3 says whether it trains; no operation does.

    Args:
        tree: of a net.
        operations: the names of known ones.
    """
    if isinstance(tree, list | tuple):
        return [with_modules(part, operations) for part in tree]
    if not isinstance(tree, Mapping):
        return tree
    calls, settings = tree.get("inbound_nodes"), tree.get("config")
    of_keras_3 = isinstance(calls, list | tuple) and any(isinstance(call, Mapping) for call in calls)
    if of_keras_3 and "module" not in tree and tree.get("class_name") in operations and isinstance(settings, Mapping):
        return tree if "trainable" in settings else {"module": "keras.src.ops", **tree}
    return {key: with_modules(part, operations) for key, part in tree.items()}


def with_layer_modules(tree: Any, known: Collection[str], *, layer: bool = False) -> Any:
    """A config in which Keras's layers have their modules, which `model.h5` leaves out.

    Without them Keras does not find those of its layers that older versions lack.

    Args:
        tree: of a net, or of what is in one.
        known: the names of Keras's layers.
        layer: whether it is a layer, or a list of them.
    """
    if isinstance(tree, list | tuple):
        return [with_layer_modules(part, known, layer=layer) for part in tree]
    if not isinstance(tree, Mapping):
        return tree
    found = {key: with_layer_modules(part, known, layer=key in _LAYERS) for key, part in tree.items()}
    name = tree.get("class_name")
    if not layer or "module" in tree or not (name in known or name in _MODULES):
        return found
    return {"module": _MODULES.get(str(name), "keras.layers"), "registered_name": None, **found}


def _parts(config: Mapping[str, Any]) -> list[str]:
    return str(config.get("module")).split(".")
