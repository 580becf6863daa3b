"""Where chosen weights lie in a network: walked once, and again only if a module or a weight was replaced."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from regtorch.numerics.unreplaced import NOTHING_REPLACED
from regtorch.select.layout import own_parameter
from regtorch.select.weight import Weight

__all__ = ["Found", "Places"]

Found = tuple[tuple[Weight, nn.Module, nn.Parameter | None], ...]
Way = dict[tuple[str, ...], tuple[nn.Module, str, nn.Module]]  # by path: parent, name, child


class Places:
    """The modules that hold some weights of a network."""

    def __init__(self, root: nn.Module, weights: Sequence[Weight]) -> None:
        self.weights = weights
        self._root = root
        self._way: Way | None = None
        self._held: list[tuple[nn.Module, str, nn.Parameter | None]] = []  # what each module held at the last walk
        self._found: Found = ()
        self._looked: object | None = None  # in which the last look was

    def __getstate__(self) -> dict[str, object]:
        return vars(self) | {"_way": None, "_held": [], "_found": (), "_looked": None}

    def now(self) -> Found:
        """Each weight, the module that holds it, and its parameter there; None if the module computes the weight.

        Weights that were tied since they were chosen are one. It is the same object as long as nothing was replaced.

        Raises:
            LookupError: the network no longer has a weight, or weights that were tied no longer are.
        """
        if torch.compiler.is_compiling():  # which would guard every module on the way
            return _once(self._read())
        if self._looked is not None and self._looked is NOTHING_REPLACED.since:
            return self._found
        self._looked = NOTHING_REPLACED.since
        if not self._holds():
            self._way = self._looked = None
            every = self._read()
            self._held, way = self._walk(every)
            self._found = _once(every)
            if all(parameter is None or isinstance(parameter, nn.Parameter) for *_, parameter in self._held):
                self._way = way  # else the tensors are those of one call, as inside torch.func
        return self._found

    def _holds(self) -> bool:
        if self._way is None:
            return False
        for parent, name, child in self._way.values():
            if name not in parent._modules or parent._modules[name] is not child:
                return False
        for owner, attribute, parameter in self._held:  # `own_parameter` without a call for each of hundreds
            parameters = owner._parameters
            held = parameters[attribute] if attribute in parameters else None  # noqa: SIM401 (see there)
            if held is not parameter:
                return False
        return True

    def _read(self) -> Found:
        owners = [(weight, weight.owner(self._root)) for weight in self.weights]
        return tuple([(weight, owner, own_parameter(owner, weight.attribute)) for weight, owner in owners])

    def _walk(self, every: Found) -> tuple[list[tuple[nn.Module, str, nn.Parameter | None]], Way]:
        way: Way = {}
        held: list[tuple[nn.Module, str, nn.Parameter | None]] = []
        for weight, owner, parameter in every:
            self._go(weight.path, way)
            held.append((owner, weight.attribute, parameter))
            for _, path, attribute in weight.also:
                besides = self._go(path, way)
                if besides is not None:
                    there = own_parameter(besides, attribute)
                    _check_tied(weight, parameter, there)
                    held.append((besides, attribute, there))
        return held, way

    def _go(self, path: tuple[str, ...], way: Way) -> nn.Module | None:
        """The module at a path, None if there is no longer one; adds the steps to `way`."""
        parent = self._root
        for depth, name in enumerate(path, 1):
            child = parent._modules.get(name)
            if child is None:
                return None
            way[path[:depth]] = parent, name, child
            parent = child
        return parent


def _once(every: Found) -> Found:
    """Each parameter once."""
    seen: set[int] = set()
    found: list[tuple[Weight, nn.Module, nn.Parameter | None]] = []
    for place in every:
        if place[2] is None or id(place[2]) not in seen:
            seen.add(id(place[2]))
            found.append(place)
    return tuple(found)


def _check_tied(weight: Weight, one: nn.Parameter | None, two: nn.Parameter | None) -> None:
    """Raise a LookupError if a weight that was one is two."""
    if one is not None and two is not None and one is not two:
        names = " and ".join(repr(name) for name in dict.fromkeys(weight.names))
        raise LookupError(
            f"the weights {names} were one tied weight when the rule was bound to it and no longer are; "
            "tie them again, or bind the rule again"
        )
