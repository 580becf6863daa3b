"""Which gradients already include a penalty: their step raised and is being repeated, or another optimizer added it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from typing import Any, ClassVar
from weakref import WeakSet, ref

import torch
from torch import Tensor
from torch.optim import Optimizer

__all__ = ["HeldGradients"]

Noted = dict[int, tuple[ref[Tensor], int]]  # gradients and their versions, by the ids of the parameters


class HeldGradients:
    """Remembers the gradients to which penalties were added.

    A step that raises runs no post-hook. If it is repeated with the same unchanged gradients, they include the penalty.
    So they do at the step of another optimizer that owns the same weights.

    Attributes:
        added: the terms that the last step added, each with the ids of the parameters.
    """

    _all: ClassVar[WeakSet[HeldGradients]] = WeakSet()

    def __init__(self) -> None:
        self._noted: Noted = {}
        self._left: Noted = {}  # by the last step
        self._of_others: list[tuple[HeldGradients, set[int]]] = []
        self.added: list[tuple[Any, Set[int]]] = []
        self._all.add(self)

    def __reduce__(self) -> tuple[type[HeldGradients], tuple[()]]:
        return HeldGradients, ()  # a copy has noted nothing

    def note(self, optimizer: Optimizer) -> None:
        """Remember the current version of every gradient."""
        if torch.compiler.is_compiling():
            return
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._noted[id(p)] = ref(p.grad), p.grad._version

    def note_for_others(self) -> None:
        """Let them know that the gradients found by `by_others` still hold their parts; after `note`."""
        for other, ids in self._of_others:
            other._left |= {key: self._noted[key] for key in ids}

    def by_others(
        self, optimizer: Optimizer, terms: Iterable[Any], same: Callable[[Any, Any], bool]
    ) -> dict[int, set[int]]:
        """The ids of the parameters whose unchanged gradient holds a term from another optimizer, by the term's id.

        Args:
            optimizer: whose step is about to be made.
            terms: those of its rules.
            same: whether two terms are the same rule on the same weights.
        """
        self._of_others = []
        if torch.compiler.is_compiling():
            return {}
        others = [other for other in self._all if other is not self and other._left]
        if not others:
            return {}
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        found: dict[int, set[int]] = {}
        for other in others:
            if ids := _unchanged_of(parameters, other._left):
                self._of_others.append((other, ids))
                for term in terms:
                    for added, on in other.added:
                        if same(term, added) and not ids.isdisjoint(on):
                            found[id(term)] = found.get(id(term), set()) | (ids & on)
        return found

    def of(self, optimizer: Optimizer) -> set[int]:
        """The ids of the parameters whose gradient is unchanged since `note`."""
        if not self._noted:
            return set()
        noted, self._noted = self._noted, {}
        return _unchanged_of((p for group in optimizer.param_groups for p in group["params"]), noted)

    def forget(self, terms: Iterable[Any]) -> None:
        """Forget that these were added."""
        gone = set(map(id, terms))
        self.added = [pair for pair in self.added if id(pair[0]) not in gone]

    def clear(self) -> None:
        """The step has ended: a repetition would be a new step."""
        self._left, self._noted, self._of_others = self._noted, {}, []


def _unchanged_of(parameters: Iterable[Tensor], noted: Noted) -> set[int]:
    """The ids of those whose gradient is unchanged since it was noted."""
    known = (p for p in parameters if id(p) in noted)
    return {id(p) for p in known if p.grad is not None and _unchanged(p.grad, *noted[id(p)])}


def _unchanged(grad: Tensor, noted: ref[Tensor], version: int) -> bool:
    return noted() is grad and grad._version == version
