"""The calls of layers in Keras's JSON: the tensors and constants that each takes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from regtorch.checks import shown
from regtorch.keras.trees import Key, keys_of, mapped

__all__ = ["Node", "keys_in", "node_of"]

_MOST_CONSTANTS = 2**20  # numbers in one array of a call


@dataclass(frozen=True)
class Node:
    """One call of a layer.

    Attributes:
        arguments: what it is given in order, a tree of keys and constants.
        keywords: what it is given by name, without `training`.
        training: the fixed mode of the call.
    """

    arguments: tuple[Any, ...] = ()
    keywords: Mapping[str, Any] = field(default_factory=dict)
    training: bool | None = None

    @property
    def inputs(self) -> tuple[Key, ...]:
        """The tensors that it takes."""
        return (*keys_of(self.arguments), *keys_of(self.keywords))

    @property
    def tensors(self) -> tuple[Key, ...]:
        """The tensors that a layer is called with, in order.

        Raises:
            ValueError: a constant is among them.
        """
        constant = next((leaf for leaf in _leaves(self.arguments) if not isinstance(leaf, Key)), None)
        if constant is not None:
            raise ValueError(f"arguments that are not tensors are not supported: {shown(constant)}")
        return tuple(keys_of(self.arguments))

    def by_position(self, names: Sequence[str]) -> Node:
        """The call with the tensors of these names, which a layer takes in this order, given by position."""
        named = dict(self.keywords)
        first = len(self.arguments)
        given = [named.pop(name) for name in names[first:] if isinstance(named.get(name), Key)]
        return Node((*self.arguments, *given), named, self.training)

    def renumbered(self, function: Any) -> Node:
        """The call with `function(key)` in place of each key."""
        return Node(mapped(self.arguments, function), mapped(self.keywords, function), self.training)


def node_of(node: Any, operation: bool = False) -> Node:
    """Read a call as Keras 2 or 3 writes it.

    Args:
        node: the call.
        operation: whether it calls a function, whose first argument may be a list.

    Raises:
        ValueError: an argument cannot be read.
    """
    if isinstance(node, Mapping):  # Keras 3
        given, named = node.get("args", []), node.get("kwargs") or {}
        if not isinstance(named, Mapping):
            raise ValueError(f"kwargs must be a dict, received {shown(named)}")
        arguments = tuple(_read(part) for part in (given if isinstance(given, list | tuple) else [given]))
        keywords = {name: _read(part) for name, part in named.items()}
    else:
        arguments = _positional(node, operation)
        keywords = {k: _read(v) for given in _keywords(node) for k, v in given.items()}
    training = keywords.pop("training", None)
    if training is not None and not isinstance(training, bool):
        raise ValueError(f"it is called with training={shown(training)}, which is not supported")
    keywords.pop("name", None) if not isinstance(node, Mapping) else None  # of Keras 2's operations
    return Node(arguments, {k: v for k, v in keywords.items() if v is not None}, training)


def keys_in(tree: Any) -> list[Key]:
    """The tensors named in a tree of arguments, in order.

    Raises:
        ValueError: an argument is not a tensor.
    """
    return list(Node((_read(tree),)).tensors)


def _positional(node: Any, operation: bool) -> tuple[Any, ...]:
    """Keras 2's references are the first argument: one tensor, or a list of them."""
    tree = _read(node)
    if operation:
        return (tree,)
    parts = tree if isinstance(tree, list) else [tree]
    return tuple(part for part in parts if part is not None)


def _keywords(tree: Any) -> Iterator[Mapping[str, Any]]:
    """The keywords at the end of each of Keras 2's tensor references."""
    if isinstance(tree, list | tuple):
        if len(tree) > 3 and isinstance(tree[3], Mapping):
            yield tree[3]
        for child in tree:
            yield from _keywords(child)


def _read(tree: Any) -> Any:
    """A tree of keys and constants from a tree of Keras's JSON."""
    if isinstance(tree, list | tuple):
        if len(tree) == 4 and tree[0] == "_CONSTANT_VALUE":  # Keras 2: name, -1, value, keywords
            return _read(tree[2])
        if _is_key(tree):
            return _key(tree)
        return [_read(child) for child in tree]
    if not isinstance(tree, Mapping):
        return tree
    read, config = _SPECIAL.get(str(tree.get("class_name"))), tree.get("config") or {}
    if read is not None and isinstance(config, Mapping):
        return read(config)
    return {name: _read(child) for name, child in tree.items()}


def _key(tree: Any) -> Key:
    if tree[1] < 0 or tree[2] < 0:
        raise ValueError(f"calls and outputs are numbered from 0, received {shown(tree)}")
    return Key(tree[0], tree[1], tree[2])


def _keras_tensor(config: Mapping[str, Any]) -> Key:
    history = config.get("keras_history")
    if not isinstance(history, list | tuple) or not _is_key(history):
        raise ValueError(f"a tensor must have a keras_history of layer, call and output, received {shown(history)}")
    return _key(history)


def _array(config: Mapping[str, Any]) -> Any:
    value, dtype = config.get("value"), getattr(torch, str(config.get("dtype")), None)
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"the dtype {shown(config.get('dtype'))} of a constant is not supported")
    try:
        array = torch.tensor(value, dtype=dtype, device="cpu")
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise ValueError(f"a constant must be an array of numbers: {error}") from None
    if math.prod(array.shape) > _MOST_CONSTANTS:
        raise ValueError(f"a constant of {array.numel():,} numbers is not supported; the most are {_MOST_CONSTANTS:,}")
    return array


_SPECIAL = {
    "__keras_tensor__": _keras_tensor,
    "__tuple__": lambda config: tuple(_read(part) for part in config.get("value") or ()),
    "__slice__": lambda config: slice(*(_read(config.get(part)) for part in ("start", "stop", "step"))),
    "__ellipsis__": lambda config: ...,
    "__numpy__": _array,
    "__tensor__": _array,
}


def _leaves(tree: Any) -> Iterator[Any]:
    if isinstance(tree, list | tuple) and not isinstance(tree, Key):
        for child in tree:
            yield from _leaves(child)
    else:
        yield tree


def _is_key(tree: list[Any] | tuple[Any, ...]) -> bool:
    ended = len(tree) == 3 or (len(tree) == 4 and isinstance(tree[3], Mapping))
    return ended and isinstance(tree[0], str) and type(tree[1]) is type(tree[2]) is int
