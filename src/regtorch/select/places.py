"""Where chosen weights lie in a network: walked once, and again only if a module or a weight was replaced."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from regtorch.select.layout import own_parameter
from regtorch.select.weight import Weight

__all__ = ["Found", "Places"]

Found = tuple[tuple[Weight, nn.Module, nn.Parameter | None], ...]


class Places:
    """The modules that hold some weights of a network."""

    def __init__(self, root: nn.Module, weights: Sequence[Weight]) -> None:
        self.weights = weights
        self._root = root
        self._way: list[tuple[nn.Module, str, nn.Module]] | None = None  # parent, name, child
        self._found: Found = ()

    def __getstate__(self) -> dict[str, object]:
        return vars(self) | {"_way": None, "_found": ()}

    def now(self) -> Found:
        """Each weight, the module that holds it, and its parameter there; None if the module computes the weight.

        It is the same object as long as nothing was replaced.

        Raises:
            LookupError: the network no longer has a weight.
        """
        if torch.compiler.is_compiling():  # which would guard every module on the way
            return self._read()
        if not self._holds():
            self._found, self._way = self._read(), None
            if all(parameter is None or isinstance(parameter, nn.Parameter) for *_, parameter in self._found):
                self._way = self._walked()  # else the tensors are those of one call, as inside torch.func
        return self._found

    def _holds(self) -> bool:
        if self._way is None:
            return False
        for parent, name, child in self._way:
            if name not in parent._modules or parent._modules[name] is not child:
                return False
        return all(own_parameter(owner, weight.attribute) is parameter for weight, owner, parameter in self._found)

    def _read(self) -> Found:
        owners = [(weight, weight.owner(self._root)) for weight in self.weights]
        return tuple([(weight, owner, own_parameter(owner, weight.attribute)) for weight, owner in owners])

    def _walked(self) -> list[tuple[nn.Module, str, nn.Module]]:
        way: dict[tuple[str, ...], tuple[nn.Module, str, nn.Module]] = {}
        for weight in self.weights:
            parent = self._root
            for depth, name in enumerate(weight.path, 1):
                child = parent._modules[name]
                assert child is not None
                way[weight.path[:depth]] = parent, name, child
                parent = child
        return list(way.values())
