"""The calls of layers in Keras's JSON and the tensors that each takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from regtorch.checks import shown
from regtorch.keras.net import Key

__all__ = ["Node", "keys_in", "node_of"]


@dataclass(frozen=True)
class Node:
    """One call of a layer."""

    inputs: tuple[Key, ...]
    training: bool | None = None


def node_of(node: Any) -> Node:
    """Read a call as Keras 2 or 3 writes it.

    Raises:
        ValueError: an argument is neither a tensor nor `training`.
    """
    if isinstance(node, Mapping):  # Keras 3
        arguments, keywords = node.get("args", []), node.get("kwargs") or {}
        if not isinstance(keywords, Mapping):
            raise ValueError(f"kwargs must be a dict, received {shown(keywords)}")
    else:
        arguments, keywords = node, {k: v for given in _keywords(node) for k, v in given.items()}
    training = keywords.get("training")
    given = sorted(k for k, v in keywords.items() if k != "training" and any(True for _ in _non_null_leaves(v)))
    if training is not None and not isinstance(training, bool):
        given.append(f"training={shown(training)}")
    if given:
        raise ValueError(f"it is called with {', '.join(given)}, which is not supported")
    return Node(tuple(keys_in(arguments)), training)


def _keywords(tree: Any) -> Iterator[Mapping[str, Any]]:
    """The keywords at the end of each of Keras 2's tensor references."""
    if isinstance(tree, list | tuple):
        if len(tree) > 3 and isinstance(tree[3], Mapping):
            yield tree[3]
        for child in tree:
            yield from _keywords(child)


def _non_null_leaves(tree: Any) -> Iterator[Any]:

    if isinstance(tree, list | tuple):
        for child in tree:
            yield from _non_null_leaves(child)
    elif tree is not None:
        yield tree


def keys_in(tree: Any) -> list[Key]:
    """The tensors named in a tree of arguments, in order.

    Raises:
        ValueError: an argument is not a tensor.
    """
    if isinstance(tree, Mapping) and tree.get("class_name") == "__keras_tensor__":
        config = tree.get("config")
        tree = config.get("keras_history") if isinstance(config, Mapping) else None
    if isinstance(tree, list | tuple):
        if _is_key(tree):
            if tree[1] < 0 or tree[2] < 0:
                raise ValueError(f"calls and outputs are numbered from 0, received {shown(tree)}")
            return [(tree[0], tree[1], tree[2])]
        return [key for child in tree for key in keys_in(child)]
    raise ValueError(f"arguments that are not tensors are not supported: {shown(tree)}")


def _is_key(tree: list[Any] | tuple[Any, ...]) -> bool:
    ended = len(tree) == 3 or (len(tree) == 4 and isinstance(tree[3], Mapping))
    return ended and isinstance(tree[0], str) and type(tree[1]) is type(tree[2]) is int
