"""Keras's JSON of a net, Sequential or functional, in the spellings of Keras 2 and 3, as one kind of graph."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from regtorch.keras.net import Key

__all__ = ["MODELS", "Graph", "LayerConfig", "Node", "is_custom", "parse", "read", "version_of"]

MODELS = ("Sequential", "Functional", "Model")
_OWN = {"keras", "tf_keras", "tensorflow", "builtins"}  # packages that hold Keras's own classes


@dataclass(frozen=True)
class Node:
    """One call of a layer."""

    inputs: tuple[Key, ...]
    training: bool | None = None


@dataclass(frozen=True)
class LayerConfig:
    """A layer as the JSON has it; `custom` says that its class is not one of Keras's own."""

    name: str
    class_name: str
    config: dict[str, Any]
    nodes: tuple[Node, ...] = ()
    custom: bool = False

    @property
    def shape(self) -> tuple[int | None, ...] | None:
        """The input's shape, batch included, where the config tells it."""
        shape = self.config.get("batch_shape") or self.config.get("batch_input_shape")
        return None if shape is None else tuple(shape)


@dataclass
class Graph:
    """The layers of a net in Keras's order, its inputs and outputs."""

    name: str
    layers: list[LayerConfig] = field(default_factory=list)
    inputs: list[Key] = field(default_factory=list)
    outputs: list[Key] = field(default_factory=list)
    input_shape: tuple[int | None, ...] | None = None


def read(config: str | bytes | Mapping[str, Any]) -> dict[str, Any]:
    """The net's JSON as a dict with class_name and config.

    Raises:
        TypeError: it is neither text nor a dict.
        ValueError: it is no JSON, or not of a net.
    """
    if isinstance(config, str | bytes):
        try:
            config = json.loads(config)
        except ValueError as error:
            raise ValueError(
                f"from_config: the text is not JSON ({error}); give model.to_json(), a dict, or what a file holds, not "
                "its path"
            ) from None
    if not isinstance(config, Mapping):
        raise TypeError(f"from_config: expected JSON text or a dict, received {type(config).__name__}")
    if "class_name" not in config and "layers" in config:  # model.get_config()
        kind = "Functional" if "output_layers" in config else "Sequential"
        config = {"class_name": kind, "config": dict(config)}
    if config.get("class_name") == "Sequential" and isinstance(config.get("config"), list):  # before Keras 2.2.3
        config = {**config, "config": {"layers": config["config"]}}
    if config.get("class_name") not in MODELS or not isinstance(config.get("config"), Mapping):
        raise ValueError(
            f"from_config: expected the config of a {', '.join(MODELS[:-1])} or {MODELS[-1]}, received class_name="
            f"{config.get('class_name')!r}; a subclassed model has no config of its layers"
        )
    if not isinstance(config["config"].get("layers"), list):
        raise ValueError("from_config: the config has no list of layers")
    return dict(config)


def version_of(config: Mapping[str, Any]) -> int:
    """2 or 3, as the JSON says it or as its spelling tells; 3 where neither does."""
    said = str(config.get("keras_version", ""))
    if said[:1].isdigit():
        return 2 if int(said.split(".")[0]) < 3 else 3
    keys = set(_keys(config))
    return 2 if "batch_input_shape" in keys and "batch_shape" not in keys else 3


def _keys(tree: Any) -> Iterator[str]:
    if isinstance(tree, Mapping):
        yield from tree
    for child in tree.values() if isinstance(tree, Mapping) else tree if isinstance(tree, list) else ():
        yield from _keys(child)


def parse(config: Mapping[str, Any]) -> Graph:
    """The graph of a net's class_name and config; nested nets stay layers of it.

    Raises:
        ValueError: a layer has no class name or config, or the graph says something that is not supported.
    """
    inner = config["config"]
    graph = Graph(str(inner.get("name", "")))
    for position, layer in enumerate(inner["layers"]):
        if not (isinstance(layer, Mapping) and isinstance(layer.get("class_name"), str)):
            raise ValueError(f"from_config: layers[{position}] of {graph.name!r} has no class_name")
        own = dict(layer.get("config") or {})
        name = str(layer.get("name") or own.get("name") or f"{layer['class_name'].lower()}_{position}")
        nodes = tuple(_node(name, node) for node in layer.get("inbound_nodes") or ())
        graph.layers.append(LayerConfig(name, layer["class_name"], own, nodes, is_custom(layer)))
    if config["class_name"] == "Sequential":
        _chain(graph, config)
    else:
        for what, keys in (("input_layers", graph.inputs), ("output_layers", graph.outputs)):
            try:
                keys += _refs(inner.get(what) or [])
            except ValueError as error:
                raise ValueError(f"from_config: {what} of {graph.name!r}: {error}") from None
            if not keys:
                raise ValueError(f"from_config: {graph.name!r} has no {what}")
        _count_calls_from_zero(graph)
    return graph


def _count_calls_from_zero(graph: Graph) -> None:
    """Keras 2 counts the calls of a nested net from 1, as its own inputs are call 0, which the JSON leaves out."""
    keys = [*graph.outputs, *(key for layer in graph.layers for node in layer.nodes for key in node.inputs)]
    late = {
        layer.name
        for layer in graph.layers
        if layer.class_name in MODELS and any(k[0] == layer.name and k[1] >= len(layer.nodes) for k in keys)
    }

    def shifted(key: Key) -> Key:
        return (key[0], key[1] - 1, key[2]) if key[0] in late else key

    graph.outputs = [shifted(key) for key in graph.outputs]
    for i, layer in enumerate(graph.layers):
        nodes = tuple(replace(node, inputs=tuple(map(shifted, node.inputs))) for node in layer.nodes)
        graph.layers[i] = replace(layer, nodes=nodes)


def is_custom(config: Mapping[str, Any]) -> bool:
    """Whether a serialized object's class is someone's own, whatever its name."""
    name, registered, module = (config.get(key) for key in ("class_name", "registered_name", "module"))
    root = str(module or "keras").split(".")[0]
    return registered not in (None, name) or ">" in str(name) or root not in _OWN


def _chain(graph: Graph, config: Mapping[str, Any]) -> None:
    """Each layer takes the one before it; an input layer is made where the JSON has none."""
    inner = config["config"]
    first = graph.layers[0] if graph.layers else None
    if first is None or first.class_name != "InputLayer":
        built = inner.get("build_input_shape") or (config.get("build_config") or {}).get("input_shape")
        shape = first.shape if first and first.shape else built
        graph.input_shape = None if shape is None else tuple(shape)
        dtype = first.config.get("dtype") if first else None
        graph.layers.insert(0, LayerConfig("input", "InputLayer", {"batch_shape": graph.input_shape, "dtype": dtype}))
    before: Key = (graph.layers[0].name, 0, 0)
    graph.inputs = [before]
    for i, layer in enumerate(graph.layers[1:], 1):
        graph.layers[i] = replace(layer, nodes=(Node((before,)),))
        before = (layer.name, 0, 0)
    graph.outputs = [before]


def _node(layer: str, node: Any) -> Node:
    if isinstance(node, Mapping):  # Keras 3
        arguments, keywords = node.get("args", []), dict(node.get("kwargs") or {})
    else:
        arguments = node
        keywords = {k: v for ref in node for k, v in (ref[3] if isinstance(ref, list) and len(ref) > 3 else {}).items()}
    training = keywords.pop("training", None)
    given = sorted(k for k, v in keywords.items() if any(True for _ in _somethings(v)))
    if given or training not in (None, True, False):
        raise ValueError(f"from_config: layer {layer!r} is called with {', '.join(given)}, which is not supported")
    try:
        return Node(tuple(_refs(arguments)), training)
    except ValueError as error:
        raise ValueError(f"from_config: layer {layer!r}: {error}") from None


def _somethings(tree: Any) -> Iterator[Any]:
    """What in a tree of lists is not null."""
    if isinstance(tree, list | tuple):
        for child in tree:
            yield from _somethings(child)
    elif tree is not None:
        yield tree


def _refs(tree: Any) -> list[Key]:
    """Every tensor named in a tree of arguments, in order."""
    if isinstance(tree, Mapping) and tree.get("class_name") == "__keras_tensor__":
        tree = tree["config"]["keras_history"]
    if _is_ref(tree):
        return [(tree[0], tree[1], tree[2])]
    if isinstance(tree, list | tuple):
        return [ref for child in tree for ref in _refs(child)]
    raise ValueError(f"an argument that is no tensor is not supported: {tree!r}")


def _is_ref(tree: Any) -> bool:
    return (
        isinstance(tree, Sequence)
        and not isinstance(tree, str)
        and len(tree) >= 3
        and isinstance(tree[0], str)
        and type(tree[1]) is type(tree[2]) is int
    )
