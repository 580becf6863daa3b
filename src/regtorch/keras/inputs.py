"""The tensors that nets and calls of layers take."""

from __future__ import annotations

from collections.abc import Mapping

from regtorch.keras.graph import Graph, LayerConfig, describe
from regtorch.keras.nodes import Node
from regtorch.keras.trees import Key, keys_of

__all__ = ["refuse_strings", "tensors_of"]


def refuse_strings(graph: Graph, start: LayerConfig, path: str) -> None:
    """Refuse an input of strings, and name the layers that read it.

    Raises:
        ValueError: always.
    """
    readers = [layer for layer in graph.layers if any(key.layer == start.name for n in layer.nodes for key in n.inputs)]
    by = f" to {', '.join(describe(path, layer) for layer in readers)}" if readers else ""
    raise ValueError(
        f"from_config: {describe(path, start)} gives strings{by}, and torch has no tensors of strings; encode them as "
        "whole numbers before the net, and build the net in Keras from there on"
    )


def tensors_of(layer: LayerConfig, node: Node) -> tuple[Key, ...]:
    """The tensors that a call takes in order; a nested net's from a dict in the order of its inputs.

    Raises:
        ValueError: a nested net lacks an input, or an argument is not a tensor.
    """
    if layer.operation:
        return node.inputs
    if layer.graph is not None and len(node.arguments) == 1 and isinstance(node.arguments[0], Mapping):
        given = node.arguments[0]
        missing = [name for name in layer.graph.input_names if name not in given]
        if missing:
            raise ValueError(f"it takes {', '.join(layer.graph.input_names)}; {', '.join(missing)} is missing")
        return tuple(keys_of([given[name] for name in layer.graph.input_names]))
    return node.tensors
