"""Where chosen weights lie in a network: walked once, and again only if a module on the way was replaced."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import nn

from regtorch.select.layout import own_parameter
from regtorch.select.weight import Weight

__all__ = ["Places"]


class Places:
    """The modules that hold some weights of a network."""

    def __init__(self, root: nn.Module, weights: Sequence[Weight]) -> None:
        self.weights = weights
        self._root = root
        self._way: list[tuple[nn.Module, str, nn.Module]] | None = None  # parent, name, child
        self._found: list[tuple[Weight, nn.Module, str]] = []  # with its name in the module

    def __getstate__(self) -> dict[str, object]:
        return vars(self) | {"_way": None, "_found": []}

    def __iter__(self) -> Iterator[tuple[Weight, nn.Module, nn.Parameter | None]]:
        """Each weight, the module that holds it now, and its parameter there; None if the module computes the weight.

        Raises:
            LookupError: the network no longer has a weight.
        """
        if torch.compiler.is_compiling():  # which would guard every module on the way
            found = [(weight, weight.owner(self._root), weight.attribute) for weight in self.weights]
        else:
            if not self._holds():
                self._walk()
            found = self._found
        return iter([(weight, owner, own_parameter(owner, name)) for weight, owner, name in found])

    def _holds(self) -> bool:
        if self._way is None:
            return False
        return all(name in parent._modules and parent._modules[name] is child for parent, name, child in self._way)

    def _walk(self) -> None:
        found = [(weight, weight.owner(self._root), weight.attribute) for weight in self.weights]
        way: dict[tuple[str, ...], tuple[nn.Module, str, nn.Module]] = {}
        for weight in self.weights:
            parent = self._root
            for depth, name in enumerate(weight.path, 1):
                child = parent._modules[name]
                assert child is not None
                way[weight.path[:depth]] = parent, name, child
                parent = child
        self._found, self._way = found, list(way.values())
