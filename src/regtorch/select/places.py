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
        self._tied: list[tuple[Weight, nn.Module, str, nn.Module, str]] = []  # where a weight is and is besides

    def __getstate__(self) -> dict[str, object]:
        return vars(self) | {"_way": None, "_found": [], "_tied": []}

    def __iter__(self) -> Iterator[tuple[Weight, nn.Module, nn.Parameter | None]]:
        """Each weight, the module that holds it now, and its parameter there; None if the module computes the weight.

        Raises:
            LookupError: the network no longer has a weight, or weights that were tied no longer are.
        """
        if torch.compiler.is_compiling():  # which would guard every module on the way
            found = [(weight, weight.owner(self._root), weight.attribute) for weight in self.weights]
        else:
            if not self._holds():
                self._walk()
            found = self._found
            for tied in self._tied:
                _check_tied(*tied)
        return iter([(weight, owner, own_parameter(owner, name)) for weight, owner, name in found])

    def _holds(self) -> bool:
        if self._way is None:
            return False
        return all(name in parent._modules and parent._modules[name] is child for parent, name, child in self._way)

    def _walk(self) -> None:
        found = [(weight, weight.owner(self._root), weight.attribute) for weight in self.weights]
        way: dict[tuple[str, ...], tuple[nn.Module, str, nn.Module]] = {}
        tied: list[tuple[Weight, nn.Module, str, nn.Module, str]] = []
        for weight, owner, attribute in found:
            self._go(weight.path, way)
            for _, path, other in weight.also:
                besides = self._go(path, way)
                if besides is not None:
                    tied.append((weight, owner, attribute, besides, other))
        self._found, self._tied, self._way = found, tied, list(way.values())

    def _go(
        self, path: tuple[str, ...], way: dict[tuple[str, ...], tuple[nn.Module, str, nn.Module]]
    ) -> nn.Module | None:
        """The module at a path, None if there is no longer one; adds the steps to `way`."""
        parent = self._root
        for depth, name in enumerate(path, 1):
            child = parent._modules.get(name)
            if child is None:
                return None
            way[path[:depth]] = parent, name, child
            parent = child
        return parent


def _check_tied(weight: Weight, owner: nn.Module, attribute: str, besides: nn.Module, other: str) -> None:
    """Raise a LookupError if a weight that was one is two."""
    one, two = own_parameter(owner, attribute), own_parameter(besides, other)
    if one is not None and two is not None and one is not two:
        names = " and ".join(repr(name) for name in dict.fromkeys(weight.names))
        raise LookupError(
            f"the weights {names} were one tied weight when the rule was bound to it and no longer are; "
            "tie them again, or bind the rule again"
        )
