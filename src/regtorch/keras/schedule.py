"""The order in which Keras calls the layers of a graph.

It matters for a layer with state that is called twice: batch norm's moving averages.
"""

from __future__ import annotations

from regtorch.keras.graph import Graph, LayerConfig

__all__ = ["in_keras_order"]

LayerCall = tuple[str, int]  # a layer's name and the index of its call


def in_keras_order(graph: Graph) -> list[tuple[LayerConfig, int]]:
    """The calls that the outputs need, deepest first; a layer's later calls are at least as deep as its first.

    Raises:
        ValueError: a call takes a tensor that no call computes, or its own output.
    """
    layers = {layer.name: layer for layer in graph.layers}
    depths: dict[LayerCall, int] = {}
    of_layer: dict[str, int] = {}
    for call in reversed(_from_the_outputs(graph, layers)):
        depth = max(depths.get(call, 0), of_layer.get(call[0], 0))
        depths[call] = of_layer[call[0]] = depth
        for before in _before(call, layers):
            depths[before] = max(depth + 1, depths.get(before, 0))
    inputs = {key[0] for key in graph.inputs}
    calls = [call for call in depths if call[0] not in inputs]
    return [(layers[name], k) for name, k in sorted(calls, key=lambda call: -depths[call])]


def _before(call: LayerCall, layers: dict[str, LayerConfig]) -> list[LayerCall]:
    name, k = call
    nodes = layers[name].nodes
    return [(key[0], key[1]) for key in nodes[k].inputs] if nodes else []


def _from_the_outputs(graph: Graph, layers: dict[str, LayerConfig]) -> list[LayerCall]:
    """The calls that the outputs need, in topological order."""
    order: list[LayerCall] = []
    done: set[LayerCall] = set()
    open_calls: set[LayerCall] = set()
    inputs = {key[0] for key in graph.inputs}
    pending = [((key[0], key[1]), False, "an output") for key in reversed(graph.outputs)]
    while pending:  # not recursive: nets can be deeper than Python's stack
        call, left, wanted_by = pending.pop()
        if left:
            open_calls.discard(call)
            done.add(call)
            order.append(call)
            continue
        if call in done:
            continue
        name, k = call
        missing = name not in layers or not (name in inputs or k < len(layers[name].nodes))
        if missing or call in open_calls:
            what = "its own output through" if call in open_calls else "a tensor that no call computes, of"
            raise ValueError(f"from_config: in the graph {wanted_by} takes {what} {name!r}")
        open_calls.add(call)
        pending.append((call, True, wanted_by))
        pending += [(before, False, repr(name)) for before in reversed(_before(call, layers)) if name not in inputs]
    return order
