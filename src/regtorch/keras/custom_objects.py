"""User-defined classes and functions in Keras's configs: `custom_objects={"Name": factory}`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy, deepcopy
from typing import Any, TypeVar

from torch import nn

from regtorch.checks import shown
from regtorch.constraints import Constraint
from regtorch.penalties import Penalty
from regtorch.rule import Rule

__all__ = ["Factory", "LayerFactory", "apply_custom", "check_custom", "from_factory", "layer_factory", "with_select"]

_R = TypeVar("_R", bound=Rule)
Factory = Callable[[dict[str, Any]], Any]
LayerFactory = Callable[[Sequence[Sequence[int]]], Any]

# By the last word of a setting's name: a check of what a factory returns, and its description.
_KINDS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "regularizer": (lambda value: isinstance(value, Penalty), "a penalty of regtorch"),
    "constraint": (lambda value: isinstance(value, Constraint), "a constraint of regtorch"),
    "initializer": (
        lambda value: callable(value) and not isinstance(value, type | nn.Module),
        "a function of the shape in Keras's layout and a generator",
    ),
    "activation": (
        lambda value: isinstance(value, nn.Module) and not [*value.parameters(), *value.buffers()],
        "a module without weights",
    ),
    "loss": (lambda value: isinstance(value, nn.Module), "a module of outputs and targets"),
    "metric": (lambda value: hasattr(value, "update") and hasattr(value, "compute"), "a torchmetrics metric"),
}


def check_custom(who: str, custom: Any) -> Mapping[str, Factory]:
    """The factories by name; empty for None.

    Raises:
        TypeError: it is not a dict of functions or modules by name.
    """
    if custom is None:
        return {}
    if not isinstance(custom, Mapping) or not all(isinstance(k, str) and callable(v) for k, v in custom.items()):
        raise TypeError(
            f"{who}: custom_objects must be a dict of functions or modules, e.g. "
            f"{{'Mine': lambda config: rt.L2(config['l2'])}}, received {shown(custom)}"
        )
    return custom


def apply_custom(tree: Any, custom: Mapping[str, Factory], key: str = "") -> Any:
    """A config in which objects from the factories replace the configs of their classes.

    Raises:
        TypeError: a factory returns an object of the wrong kind.
    """
    kind = key.rpartition("_")[2]
    if kind in _KINDS and (own := from_factory(kind, tree, custom)) is not tree:
        return with_select(own, "all") if isinstance(own, Rule) else own
    if isinstance(tree, Mapping):
        return {k: apply_custom(v, custom, k) for k, v in tree.items()}
    return [apply_custom(part, custom) for part in tree] if isinstance(tree, list | tuple) else tree


def layer_factory(layer: Mapping[str, Any], name: str, custom: Mapping[str, Factory]) -> LayerFactory | None:
    """A function of Keras's shapes of the inputs that makes the module of a user-defined layer; None without a factory.

    A Lambda goes by its layer's name, its function's, or `Lambda`.
    """
    names = _names(layer)
    config = layer.get("config")
    if layer.get("class_name") == "Lambda" and isinstance(config, Mapping):
        names = [name, *_names(config.get("function")), *names]
    found = next((known for known in names if known in custom), None)
    if found is None:
        return None
    settings = dict(config) if isinstance(config, Mapping) else {}
    built = layer.get("build_config")

    def make(shapes: Sequence[Sequence[int]]) -> Any:
        first = [[None, *shape[1:]] for shape in shapes]
        known = {"input_shape": first[0] if len(first) == 1 else first} if built is None else built
        module = _made(found, custom[found], {"build_config": known, **settings})
        if not isinstance(module, nn.Module):
            raise TypeError(f"custom_objects[{found!r}] must return a module for the layer {name!r}, got {module!r}")
        return module

    return make


def with_select(rule: _R, select: str) -> _R:
    """A copy of the rule for other weights, also for a custom class with its own `__init__`."""
    rule = copy(rule)
    rule._set(select=select)
    return rule


def from_factory(kind: str, identifier: Any, custom: Mapping[str, Factory]) -> Any:
    """The object from the identifier's factory, or the identifier itself if no factory has its name.

    Raises:
        TypeError: the factory returns an object of the wrong kind.
    """
    name = next((name for name in _names(identifier) if name in custom), None)
    if name is None:
        return identifier
    config = identifier.get("config") if isinstance(identifier, Mapping) else None
    result = _made(name, custom[name], dict(config) if isinstance(config, Mapping) else {})
    fits, words = _KINDS[kind]
    if not fits(result):
        raise TypeError(f"custom_objects[{name!r}] must return {words} for the {kind}, received {result!r}")
    return result


def _made(name: str, factory: Factory, config: dict[str, Any]) -> Any:
    """What a factory returns; of a module in its place a copy.

    Raises:
        TypeError: the factory raises one.
        ValueError: it raises another error.
    """
    if isinstance(factory, nn.Module):
        return deepcopy(factory)
    try:
        return factory(config)
    except Exception as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(
            f"custom_objects[{name!r}] is called with the config, a dict, and raised {type(error).__name__}: {error}"
        ) from error


def _names(identifier: Any) -> list[str]:
    """The names of an identifier: `Custom>Name` is Name too, and a function's name is its config."""
    if isinstance(identifier, str):
        return [identifier]
    if not isinstance(identifier, Mapping):
        return []
    names = [identifier.get(key) for key in ("class_name", "registered_name")]
    if names[0] == "function":
        names = [identifier.get("config"), names[1]]
    texts = [name for name in names if isinstance(name, str)]
    return [*texts, *(name.rpartition(">")[2] for name in texts)]
