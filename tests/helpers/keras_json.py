"""Keras's JSON, written by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

import regtorch as rt


def layer(kind: str, name: str = "it", **config: Any) -> dict[str, Any]:
    return {"class_name": kind, "config": {"name": name, **config}}


def dense(name: str = "it", units: Any = 3, **config: Any) -> dict[str, Any]:
    return layer("Dense", name, units=units, **config)


def sequential(*layers: dict[str, Any], shape: Any = (None, 4)) -> dict[str, Any]:
    start = layer("InputLayer", "start", batch_shape=list(shape))
    return {"class_name": "Sequential", "config": {"name": "net", "layers": [start, *layers]}}


def build(*layers: dict[str, Any], shape: Any = (None, 4), **options: Any) -> tuple[nn.Module, list[Any]]:
    return rt.keras.from_config(sequential(*layers, shape=shape), **options)


def functional(*calls: tuple[dict[str, Any], Any], outputs: Any = None, name: str = "net") -> dict[str, Any]:
    """A net of layers and their calls, the first of which is its input; `outputs` None is the last layer's call."""
    layers = [{**inner, "name": inner["config"]["name"], "inbound_nodes": nodes} for inner, nodes in calls]
    first, last = ([layers[i]["name"], 0, 0] for i in (0, -1))
    config = {"name": name, "layers": layers, "input_layers": [first], "output_layers": outputs or [last]}
    return {"class_name": "Functional", "config": config}


def call(*names: str) -> list[Any]:
    """One call, on the first outputs of the first calls of layers; "it:1" is the second call of a layer."""
    parts = [name.partition(":") for name in names]
    return [[name, int(which or 0), 0, {}] for name, _, which in parts]


START = (layer("InputLayer", "start", batch_input_shape=[None, 4]), [])


def class_names(tree: Any) -> Iterator[str]:
    """Those of the layers in a net, and in its nets and wrappers."""
    if isinstance(tree, dict):
        yield tree.get("class_name", "")
        tree = list(tree.values())
    if isinstance(tree, list):
        for part in tree:
            yield from class_names(part)
