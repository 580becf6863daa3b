"""Notice that a weight of an attached rule was replaced, so that the optimizer steps a tensor no longer in use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.optim import Optimizer

from regtorch.numerics.sharded import cut_again, is_sharded

if TYPE_CHECKING:
    from regtorch.bound.constraint import BoundConstraint
    from regtorch.bound.terms import Term
    from regtorch.select.places import Found

__all__ = ["KeptWeights"]


class KeptWeights:
    """The parameters, by id, that an optimizer owned of each rule's weights."""

    def __init__(self) -> None:
        self._ids: dict[int, dict[tuple[str, int], int]] = {}  # by the id of the part
        self._complete: dict[int, tuple[Found, set[int]]] = {}  # where a part's weights lay when all were owned

    def check(self, optimizer: Optimizer, parts: Iterable[Term | BoundConstraint], owned: set[int]) -> None:
        """Note weights that the optimizer got since.

        Args:
            optimizer: whose step is about to be made.
            parts: the rules.
            owned: the ids of its parameters; the same object as long as they are the same.

        Raises:
            RuntimeError: a trainable weight is no longer in the optimizer, which still has the parameter that it was;
                or none of the weights is.
        """
        for part in parts:
            if not torch.compiler.is_compiling() and self._is_complete(part, owned):
                continue
            if getattr(part.rule, "active", True):  # a penalty of strength 0 misses nothing
                self._check(optimizer, part, owned)

    def _is_complete(self, part: Term | BoundConstraint, owned: set[int]) -> bool:
        complete = self._complete.get(id(part))
        return complete is not None and complete[0] is part.found() and complete[1] is owned

    def _check(self, optimizer: Optimizer, part: Term | BoundConstraint, owned: set[int]) -> None:
        parameters = list(part.parameters())
        ids = [id(parameter) for *_, parameter in parameters]  # a list: dynamo would walk a generator's globals
        if not owned.issuperset(ids) and cut_again(part.model):
            parameters = list(part.parameters())
            ids = [id(parameter) for *_, parameter in parameters]
        self._compare(optimizer, part, parameters, owned)
        if torch.compiler.is_compiling():  # which would have to make again what was found
            return
        self._complete.pop(id(part), None)
        found = part.found()
        if owned.issuperset(ids) and all(parameter is not None for *_, parameter in found):
            self._complete[id(part)] = found, owned

    def _compare(
        self,
        optimizer: Optimizer,
        part: Term | BoundConstraint,
        parameters: Iterable[tuple[str, int, nn.Parameter]],
        owned: set[int],
    ) -> None:
        known = self._ids.setdefault(id(part), {})
        had, left, gone = bool(known), False, []
        for name, place, parameter in parameters:
            key = name, place
            if id(parameter) in owned:
                left = True
                if known.get(key) != id(parameter):
                    known[key] = id(parameter)
            elif key in known and known[key] in owned and parameter.requires_grad:
                gone.append(name)
        if not gone and (left or not had):
            return
        kind = type(optimizer).__name__
        which = f"the weight{'s' * (len(gone) > 1)} {', '.join(gone)}" if left else "its weights"
        missing = [p for name, place, p in parameters if id(p) not in owned and (name, place) in known]
        raise RuntimeError(f"{part!r} no longer finds {which} in this {kind}: {_why(optimizer, missing)}")

    def forget(self, kept: Iterable[object]) -> None:
        """Forget all parts but `kept`."""
        ids = set(map(id, kept))
        self._ids = {key: known for key, known in self._ids.items() if key in ids}
        self._complete = {key: known for key, known in self._complete.items() if key in ids}


def _why(optimizer: Optimizer, missing: Iterable[nn.Parameter]) -> str:
    """Why an optimizer lacks weights that it had, and what to do."""
    its = any(is_sharded(p) for group in optimizer.param_groups for p in group["params"])
    are = any(is_sharded(p) for p in missing)
    if its and not are:
        return (
            "it holds parts of them, but the net has them whole; call reshard() of the module that was given to "
            "fully_shard before the step"
        )
    if are and not its:
        return (
            "they were cut by fully_shard or parallelize_module after the optimizer was made; create a new optimizer "
            "and attach again"
        )
    return (
        "they were replaced (by a new layer, load_state_dict(assign=True)?) after it was attached; create a new "
        "optimizer and attach again"
    )
