"""A compiled function that is called without dynamo, which takes longer than a step of a small net."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor

from regtorch.steps.one_pass.inductor import coded

__all__ = ["Direct"]


class Direct:
    """Compiles a function of lists of tensors; later calls go to the compiler's code at once.

    The function must depend on nothing but its arguments and tensors of its own, and on these alike at every call; it
    returns nothing. It is given no tensors that require a gradient; the code does not ask.

    Args:
        function: what to compile.
        checked: whether it may depend on more, which dynamo then checks at every call.
    """

    def __init__(self, function: Callable[..., None], *, checked: bool = False) -> None:
        self._checked = checked
        self._compiled: Callable[..., None] = torch.compile(
            function, backend=self._compile, fullgraph=True, dynamic=False
        )
        self._inner: Callable[..., object] | None = None
        self._received: Sequence[Tensor] = ()
        self._own: Sequence[Tensor] = ()  # the function's, such as a mask
        self._chosen: Callable[[list[Tensor]], Sequence[Tensor]] | None = None  # what the code takes, in its order

    def _compile(self, graph: Any, examples: Any) -> Callable[..., Any]:
        inner = self._inner = coded(graph, examples)

        def run(*tensors: Tensor) -> Any:
            self._received = tensors
            return inner(*tensors)

        return run

    def __call__(self, *arguments: Sequence[Tensor]) -> None:
        """Call the function."""
        if self._chosen is None:
            self._first(arguments)
            return
        assert self._inner is not None
        self._inner(*self._chosen([*chain.from_iterable(arguments), *self._own]))

    def _first(self, arguments: Sequence[Sequence[Tensor]]) -> None:
        if len(set(map(id, chain.from_iterable(arguments)))) < sum(map(len, arguments)):
            raise RuntimeError("two weights share a tensor, such as their gradient")
        given = [[t.detach() for t in part] for part in arguments]
        self._compiled(*given)
        if self._inner is not None and not self._checked:  # as torch.compile may be switched off
            where = {id(t): i for i, t in enumerate(chain.from_iterable(given))}
            self._own = [t for t in self._received if id(t) not in where]
            where |= {id(t): len(where) + i for i, t in enumerate(self._own)}
            order = [where[id(t)] for t in self._received]
            self._chosen = itemgetter(*order) if len(order) > 1 else lambda flat: [flat[i] for i in order]
        self._received = ()
