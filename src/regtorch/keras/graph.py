"""The graph of a Keras net, from a Sequential or functional config of Keras 2 or 3."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from regtorch.checks import flag, shown
from regtorch.keras.by_output import is_by_name
from regtorch.keras.custom_objects import Factory, LayerFactory, layer_factory
from regtorch.keras.nodes import Node, keys_in, node_of
from regtorch.keras.origin import is_operation, is_user_defined
from regtorch.keras.quantity import is_size
from regtorch.keras.read import MODELS, model_of
from regtorch.keras.trees import Key

__all__ = ["Graph", "LayerConfig", "backward_of", "describe", "parse"]

Shape = tuple[int | None, ...]
_POSITIONAL: Mapping[str, tuple[str, ...]] = dict.fromkeys(
    ("MultiHeadAttention", "GroupQueryAttention"), ("query", "value", "key")
)
_NAMES = {"GroupedQueryAttention": "GroupQueryAttention"}  # in model.h5, which has the classes' names in Keras's code
_WRAPPERS = {
    "RNN": ("cell",),
    "Bidirectional": ("layer", "backward_layer"),
    "TimeDistributed": ("layer",),
    "SpectralNormalization": ("layer",),
}


@dataclass(frozen=True)
class LayerConfig:
    """A layer as the JSON has it.

    Attributes:
        name: Keras's name.
        class_name: Keras's class.
        config: its settings.
        nodes: its calls.
        operation: whether it is a call of `keras.ops`.
        graph: the graph of a nested net.
        factory: makes the module of a user-defined layer, from the shapes of its inputs.
        inner: the layers that a wrapper's config has, by their key: "layer", or "cells.0" for the first in a list.
    """

    name: str
    class_name: str
    config: Mapping[str, Any]
    nodes: tuple[Node, ...] = ()
    operation: bool = False
    graph: Graph | None = None
    factory: LayerFactory | None = None
    inner: Mapping[str, LayerConfig] = field(default_factory=dict)

    @property
    def shape(self) -> Shape | None:
        """The input's shape, batch included, if the config gives it.

        Raises:
            ValueError: it is not a list of sizes.
        """
        return _shape(self.config.get("batch_shape") or self.config.get("batch_input_shape"), f"layer {self.name!r}")


@dataclass
class Graph:
    """The layers of a net in Keras's order, its inputs and outputs, and whether the net itself is trainable.

    Attributes:
        input_names: the names by which the net takes its inputs from a dict.
        output_names: the names in the dict that the net gives; None if it gives no dict.
    """

    name: str
    trainable: bool
    layers: list[LayerConfig] = field(default_factory=list)
    inputs: list[Key] = field(default_factory=list)
    outputs: list[Key] = field(default_factory=list)
    input_names: list[str] = field(default_factory=list)
    output_names: list[str] | None = None

    def all_layers(self) -> Iterator[LayerConfig]:
        """Its layers, and in place of nets in it theirs."""
        for layer in self.layers:
            yield from (layer,) if layer.graph is None else layer.graph.all_layers()


def describe(path: str, layer: LayerConfig) -> str:
    """The layer's description in messages."""
    of_tensorflow = layer.class_name.endswith("OpLambda")
    kind = f"keras.ops' {layer.class_name}" if layer.operation and not of_tensorflow else layer.class_name
    return f"layer {path + layer.name!r} ({kind})"


def parse(config: Mapping[str, Any], custom: Mapping[str, Factory] | None = None, path: str = "") -> Graph:
    """The graph of a net's class_name and config, and those of the nets in it.

    Args:
        config: the net's.
        custom: factories of user-defined layers.
        path: of a nested net.

    Raises:
        ValueError: a layer has no class name or config, its class is user-defined, or something is not supported.
    """
    inner = config["config"]
    graph = Graph(str(inner.get("name") or ""), _trainable(inner))
    for position, layer in enumerate(inner["layers"]):
        graph.layers.append(_layer(layer, position, path, graph.name, custom or {}))
    name, count = Counter(layer.name for layer in graph.layers).most_common(1)[0] if graph.layers else ("", 0)
    if count > 1:
        raise ValueError(f"from_config: {count} layers of {graph.name!r} have the name {name!r}; names must be unique")
    if config["class_name"] == "Sequential":
        _chain(graph, config)
    else:
        graph.inputs, names = _ends(inner, "input_layers", graph.name)
        graph.outputs, graph.output_names = _ends(inner, "output_layers", graph.name)
        graph.input_names = names or [key.layer for key in graph.inputs]
        starts = {layer.name for layer in graph.layers if layer.class_name == "InputLayer"}
        wrong = [key[0] for key in graph.inputs if key[0] not in starts]
        if wrong or len(set(graph.inputs)) < len(graph.inputs):
            raise ValueError(
                f"from_config: input_layers of {graph.name!r} must name each InputLayer once, received "
                f"{shown([key[0] for key in graph.inputs])}"
            )
        calls = [node for layer in inner["layers"] for node in layer.get("inbound_nodes") or ()]
        _count_calls_from_zero(graph, any(isinstance(node, Mapping) for node in calls))
    return graph


def _ends(inner: Mapping[str, Any], what: str, net: str) -> tuple[list[Key], list[str] | None]:
    """The inputs or outputs of a net, and their names if they are in a dict."""
    tree = inner.get(what) or []
    named = tree if is_by_name(tree) else None
    if named is not None and what == "output_layers":
        named = dict(sorted(named.items()))  # the order in which Keras counts them
    try:
        keys = [keys_in(tree)] if named is None else [keys_in(part) for part in named.values()]
    except ValueError as error:
        raise ValueError(f"from_config: {what} of {net!r}: {error}") from None
    if named is not None and any(len(part) != 1 for part in keys):
        raise ValueError(f"from_config: {what} of {net!r}: nested ones in a dict are not supported")
    found = [key for part in keys for key in part]
    if not found:
        raise ValueError(f"from_config: {net!r} has no {what}")
    return found, None if named is None else list(named)


def _trainable(inner: Mapping[str, Any]) -> bool:
    value = inner.get("trainable")
    return value is None or flag(f"from_config: {shown(inner.get('name'))}", "trainable", value)


def _layer(layer: Any, position: int, path: str, net: str, custom: Mapping[str, Factory]) -> LayerConfig:
    kind = layer.get("class_name") if isinstance(layer, Mapping) else None
    if not isinstance(layer, Mapping) or not isinstance(kind, str):
        raise ValueError(f"from_config: layers[{position}] of {path + net!r} has no class_name")
    config = model_of(layer)["config"] if kind in MODELS else layer.get("config")
    if not isinstance(config, Mapping):
        raise ValueError(
            f"from_config: layers[{position}] of {path + net!r} ({kind}): its config must be a dict, received "
            f"{shown(config)}"
        )
    name = layer.get("name", config.get("name", f"{kind.lower()}_{position}"))
    if not isinstance(name, str) or not name:
        raise ValueError(
            f"from_config: layers[{position}] of {path + net!r} ({kind}): its name must be a string, received "
            f"{shown(name)}"
        )
    kind = _NAMES.get(kind, kind)
    found = LayerConfig(name, kind, config, operation=is_operation(layer))
    where = describe(path, found)
    factory = layer_factory(layer, name, custom)
    if factory is None and is_user_defined(layer):
        raise ValueError(
            f"from_config: {where} is of a user-defined class, not Keras's: the JSON lacks what it computes; give "
            f"custom_objects={{{kind!r}: a function of its config that returns a module}}"
        )
    calls = layer.get("inbound_nodes") or ()
    if not isinstance(calls, list | tuple):
        raise ValueError(f"from_config: {where}: inbound_nodes must be a list, received {shown(calls)}")
    try:
        names = _POSITIONAL.get(kind, ())
        nodes = tuple(node_of(call, found.operation).by_position(names) for call in calls)
    except ValueError as error:
        raise ValueError(f"from_config: {where}: {error}") from None
    graph = parse(model_of(layer), custom, f"{path}{name}.") if kind in MODELS and factory is None else None
    parts = {} if factory is not None else _wrapped(kind, config)
    wrong = next((key for key, part in parts.items() if not isinstance(part, Mapping)), None)
    if wrong is not None:
        raise ValueError(
            f"from_config: {where}: its {wrong} must be the config of a layer, received {shown(parts[wrong])}"
        )
    inner = {key: _layer(part, 0, f"{path}{name}.", "", custom) for key, part in parts.items()}
    return replace(found, nodes=nodes, graph=graph, factory=factory, inner=inner)


def _wrapped(kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """The layers in a wrapper's config."""
    if kind == "StackedRNNCells":
        cells = config.get("cells")
        return {f"cells.{i}": cell for i, cell in enumerate(cells if isinstance(cells, list | tuple) else ())}
    parts = {key: config.get(key) for key in _WRAPPERS.get(kind, ())}
    layer = parts.get("layer")
    if kind == "Bidirectional" and parts["backward_layer"] is None and isinstance(layer, Mapping):
        parts["backward_layer"] = backward_of(layer)
    return parts


def backward_of(layer: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a Bidirectional's second layer, if it has only that of the first."""
    settings = layer.get("config")
    settings = settings if isinstance(settings, Mapping) else {}
    backward = {"name": f"backward_{settings.get('name')}", "go_backwards": not settings.get("go_backwards")}
    return {**layer, "config": {**settings, **backward}}


def _count_calls_from_zero(graph: Graph, keras_3: bool) -> None:
    """Number the calls of nested nets from 0, where Keras counts a net's own inputs as call 0.

    Keras 2 does so wherever it names a call, Keras 3 in the outputs alone, and not for a Sequential.
    """
    if keras_3:
        from_one = {layer.name for layer in graph.layers if layer.graph and layer.class_name != "Sequential"}
        name = next((key[0] for key in graph.outputs if key[0] in from_one and key[1] == 0), None)
        if name is not None:
            raise ValueError(
                f"from_config: output_layers of {graph.name!r}: the calls of {name!r} are numbered from 1, received 0"
            )
    else:
        from_one = {layer.name for layer in graph.layers if layer.graph and _counts_from_one(layer, graph)}
        for i, layer in enumerate(graph.layers):
            nodes = tuple(node.renumbered(lambda key: _from_zero(key, from_one)) for node in layer.nodes)
            graph.layers[i] = replace(layer, nodes=nodes)
    graph.outputs = [_from_zero(key, from_one) for key in graph.outputs]


def _counts_from_one(layer: LayerConfig, graph: Graph) -> bool:
    keys = [*graph.outputs, *(key for other in graph.layers for node in other.nodes for key in node.inputs)]
    used = {key[1] for key in keys if key[0] == layer.name}
    if not used or min(used) == 0:
        return False
    if max(used) != len(layer.nodes):
        raise ValueError(
            f"from_config: layer {layer.name!r} is called {len(layer.nodes)} times, and its calls numbered "
            f"{sorted(used)} are used: the numbers may start at 0 or at 1"
        )
    return True


def _from_zero(key: Key, from_one: Collection[str]) -> Key:
    return key._replace(call=key.call - 1) if key.layer in from_one else key


def _chain(graph: Graph, config: Mapping[str, Any]) -> None:
    """Connect each layer to the one before it; add an input layer if the JSON has none."""
    first = graph.layers[0] if graph.layers else None
    if first is None or first.class_name != "InputLayer":
        build = config.get("build_config")
        built = config["config"].get("build_input_shape") or (isinstance(build, Mapping) and build.get("input_shape"))
        shape = (first and first.shape) or _shape(built, f"the net {graph.name!r}")
        name = "input"
        while any(layer.name == name for layer in graph.layers):
            name += "_"
        settings = {"batch_shape": shape, "dtype": first.config.get("dtype") if first else None}
        graph.layers.insert(0, LayerConfig(name, "InputLayer", settings))
    before = Key(graph.layers[0].name, 0, 0)
    graph.inputs, graph.input_names = [before], [before.layer]
    for i, layer in enumerate(graph.layers[1:], 1):
        graph.layers[i] = replace(layer, nodes=(Node((before,)),))
        before = Key(layer.name, 0, 0)
    graph.outputs = [before]


def _shape(shape: Any, where: str) -> Shape | None:
    if not shape:
        return None
    sizes = isinstance(shape, list | tuple) and all(n is None or is_size(n) for n in shape)
    if not sizes:
        raise ValueError(
            f"from_config: {where}: a shape must be a list of sizes, with null for any size, received {shown(shape)}"
        )
    return tuple(shape)
