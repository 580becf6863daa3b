"""Nests of tensors: tuples, lists and dicts, with a name for each part."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["Path", "as_tensors", "leaves_of", "name_of", "pick", "tensors_of", "with_part"]

Path = tuple[Any, ...]
"""The keys that lead to a part; () is the whole."""


def leaves_of(tree: Any) -> dict[Path, Any]:
    """Everything that is neither a container nor None, by path."""
    return dict(_leaves(tree, ()))


def _leaves(tree: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(tree, Mapping | tuple | list):
        items = tree.items() if isinstance(tree, Mapping) else enumerate(tree)
        for key, part in items:
            yield from _leaves(part, (*path, key))
    elif tree is not None:
        yield path, tree


def tensors_of(tree: Any) -> dict[Path, Tensor]:
    """The tensors in a nest, by path."""
    return {path: leaf for path, leaf in leaves_of(tree).items() if isinstance(leaf, Tensor)}


def name_of(path: Path) -> str:
    """A path in words.

    >>> name_of(("image", 0))
    'image.0'
    """
    return ".".join(map(str, path))


def pick(tree: Any, path: Path) -> Any:
    """The part at a path."""
    for key in path:
        tree = tree[key]
    return tree


def with_part(tree: Any, path: Path, part: Any) -> Any:
    """A copy of a nest with another part at a path; everything beside it is shared."""
    if not path:
        return part
    key, rest = path[0], path[1:]
    inner = with_part(tree[key], rest, part)
    if isinstance(tree, tuple | list):
        parts = [inner if index == key else other for index, other in enumerate(tree)]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    alike = copy.copy(tree) if isinstance(tree, MutableMapping) else dict(tree)
    alike[key] = inner
    return alike


def as_tensors(tree: Any, dtype: torch.dtype) -> Any:
    """The nest with tensors in place of NumPy's arrays, floats in `dtype`: NumPy's own default fits no net.

    Raises:
        TypeError: an array has a dtype that torch lacks.
    """
    if "numpy" not in sys.modules:
        return tree
    numpy: Any = sys.modules["numpy"]
    for path, leaf in leaves_of(tree).items():
        if isinstance(leaf, numpy.ndarray | numpy.generic):
            tree = with_part(tree, path, _as_tensor(numpy, leaf, dtype))
    return tree


def _as_tensor(numpy: Any, array: Any, dtype: torch.dtype) -> Tensor:
    try:
        native = array.dtype.newbyteorder("=")
        found = torch.from_numpy(numpy.array(array, native, order="C"))  # a copy: torch needs it writable
    except TypeError as error:
        raise TypeError(
            f"diagnose: batches must hold arrays of numbers, received a NumPy array of dtype {array.dtype}; "
            "encode it as numbers first"
        ) from error
    return found.to(dtype) if found.is_floating_point() else found
