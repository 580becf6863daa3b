"""Read the JSON of a Keras net, and tell which version of Keras wrote it."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from regtorch.checks import shown
from regtorch.keras.layers.operations import OPERATIONS
from regtorch.keras.origin import is_user_defined, with_modules

__all__ = ["MODELS", "model_of", "parsed", "read", "version_of"]

MODELS = ("Sequential", "Functional", "Model")
_DEEPEST = 200  # levels of lists and dicts; a nested net takes three
_MOST_TEXT, _MOST_NODES = 2**24, 2_000_000  # characters; lists, dicts and what is in them
_MOST_LAYERS, _MOST_CALLS = 4_000, 16_000  # nested nets included; NASNetLarge has 1,041 layers
_GIVE = "give model.to_json(), a dict, or a file's content, not its path"
_TOO_DEEP = f"the config is nested more than {_DEEPEST} levels deep, at three for each nested net; nest fewer nets"


def read(config: str | bytes | Mapping[str, Any], functional: Collection[str] = ()) -> dict[str, Any]:
    """The net's JSON as a dict with class_name and config; if its class is among those `functional`, as Keras's own.

    Raises:
        TypeError: it is neither text nor a dict.
        ValueError: it is not JSON, or not the config of a net of Keras's own classes.
    """
    if isinstance(config, str | bytes):
        config = parsed("from_config", config, _GIVE)
    if not isinstance(config, Mapping):
        raise TypeError(f"from_config: expected JSON text or a dict, received {type(config).__name__}; {_GIVE}")
    refuse_beyond_bounds("from_config", config)
    if "class_name" not in config and "layers" in config:  # model.get_config()
        kind = "Functional" if "output_layers" in config else "Sequential"
        config = {"class_name": kind, "config": dict(config)}
    inner: Any = config.get("config")
    own = isinstance(inner, Mapping) and "layers" in inner and is_user_defined(config)
    if own and _last(config) in functional:
        kind = "Functional" if "output_layers" in inner else "Sequential"
        marks = {"module": "keras"} if "module" in config else {}
        config, own = {**config, "class_name": kind, "registered_name": None, **marks}, False
    if own:
        raise ValueError(
            f"from_config: the net {shown(inner.get('name'))} is of a user-defined class "
            f"{shown(config.get('class_name'))}: the JSON lacks what that computes; if it computes what its layers do, "
            f"and has no call() of its own, give custom_objects={{{_last(config)!r}: rt.keras.from_config}}"
        )
    model = model_of(config)
    return model if "module" in config else with_modules(model, OPERATIONS)


def _last(config: Mapping[str, Any]) -> str:
    return str(config.get("class_name")).rpartition(">")[2]


def model_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a net, nested or not, in its newest form.

    Raises:
        ValueError: it is not the config of a net with a list of layers.
    """
    name, inner = config.get("class_name"), config.get("config")
    if name == "Sequential" and isinstance(inner, list):  # before Keras 2.2.3
        inner = {"layers": inner}
    if name is None:
        raise ValueError(f"from_config: the config has no class_name, and so is not a net's; {_GIVE}")
    if name not in MODELS or not isinstance(inner, Mapping):
        raise ValueError(
            f"from_config: expected the config of a {', '.join(MODELS[:-1])} or {MODELS[-1]}, received class_name="
            f"{shown(name)}; a subclassed model has no config of its layers: write its module in torch, with "
            "attributes of the same names, and give it the weights: rt.keras.load_weights(module, path)"
        )
    if not isinstance(inner.get("layers"), list | tuple):
        raise ValueError(f"from_config: the config of {shown(inner.get('name'))} has no list of layers")
    return {**config, "config": inner}


def parsed(who: str, text: str | bytes, hint: str) -> Any:
    """Parse JSON text.

    Raises:
        ValueError: it is not JSON, too long or nested too deep.
    """
    if len(text) > _MOST_TEXT:
        raise ValueError(f"{who}: expected at most {_MOST_TEXT:,} characters of JSON, received {len(text):,}; {hint}")
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"{who}: the text is not JSON ({error}); {hint}") from None
    except RecursionError:
        raise ValueError(f"{who}: {_TOO_DEEP}") from None


def refuse_beyond_bounds(who: str, tree: Any) -> None:
    """Refuse a tree of dicts and lists that is too deep, too large or contains itself, and keys that are not strings.

    Raises:
        ValueError: it is.
    """
    pending, nodes, layers, calls = [(tree, 1)], 1, 0, 0
    while pending:
        node, depth = pending.pop()
        if not isinstance(node, Mapping | list | tuple):
            continue
        if depth > _DEEPEST:
            raise ValueError(f"{who}: {_TOO_DEEP}")
        nodes += len(node)
        if isinstance(node, Mapping):
            wrong = next((key for key in node if not isinstance(key, str)), None)
            if wrong is not None:
                raise ValueError(f"{who}: a config's keys must be strings, received {shown(wrong)}")
            layers, calls = layers + _count(node.get("layers")), calls + _count(node.get("inbound_nodes"))
        found = ((nodes, _MOST_NODES, "lists, dicts and values"), (layers, _MOST_LAYERS, "layers"))
        for count, most, what in (*found, (calls, _MOST_CALLS, "calls of layers")):
            if count > most:
                raise ValueError(f"{who}: the config has more than {most:,} {what}; give a smaller net")
        children = node.values() if isinstance(node, Mapping) else node
        pending += [(child, depth + 1) for child in children]


def _count(value: Any) -> int:
    return len(value) if isinstance(value, list | tuple) else 0


def version_of(config: Mapping[str, Any]) -> int:
    """2 or 3, by `keras_version` or else by the names of input shapes; 3 if neither decides."""
    match = re.match(r"[0-9]{1,9}", str(config.get("keras_version", "")))
    if match:
        return 2 if int(match[0]) < 3 else 3
    keys = set(_keys(config))
    return 2 if "batch_input_shape" in keys and "batch_shape" not in keys else 3


def _keys(tree: Any) -> Iterator[str]:
    if isinstance(tree, Mapping):
        yield from tree
        tree = list(tree.values())
    for child in tree if isinstance(tree, list | tuple) else ():
        yield from _keys(child)
