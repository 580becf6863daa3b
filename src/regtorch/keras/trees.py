"""Trees of arguments: lists, tuples and dicts of tensors' keys and constants."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

__all__ = ["Key", "keys_of", "mapped"]


class Key(NamedTuple):
    """A tensor of a graph.

    Attributes:
        layer: Keras's name of the layer that computes it.
        call: the index of the call.
        output: the index of the output.
    """

    layer: str
    call: int
    output: int


def keys_of(tree: Any) -> Iterator[Key]:
    """The keys in a tree, in order."""
    if isinstance(tree, Key):
        yield tree
    elif isinstance(tree, list | tuple):
        for child in tree:
            yield from keys_of(child)
    elif isinstance(tree, Mapping):
        for child in tree.values():
            yield from keys_of(child)
    elif isinstance(tree, slice):
        yield from keys_of((tree.start, tree.stop, tree.step))


def mapped(tree: Any, function: Callable[[Key], Any]) -> Any:
    """The tree with `function(key)` in place of each key."""
    if isinstance(tree, Key):
        return function(tree)
    if isinstance(tree, list | tuple):
        return type(tree)(mapped(child, function) for child in tree)
    if isinstance(tree, Mapping):
        return {name: mapped(child, function) for name, child in tree.items()}
    if isinstance(tree, slice):
        return slice(*(mapped(part, function) for part in (tree.start, tree.stop, tree.step)))
    return tree
