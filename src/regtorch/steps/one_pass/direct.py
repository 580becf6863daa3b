"""A compiled function that is called without dynamo, which takes longer than a step of a small net."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["Direct"]


class Direct:
    """Compiles a function of lists of tensors, or of lists of such; later calls go to the compiler's code at once.

    The function must depend on nothing but its tensors, and on these alike at every call; its result is a list of new
    tensors.
    """

    def __init__(self, function: Callable[..., list[Tensor]]) -> None:
        self._compiled: Callable[..., list[Tensor]] = torch.compile(
            function, backend=self._compile, fullgraph=True, dynamic=False
        )
        self._inner: Callable[..., Sequence[Tensor]] | None = None
        self._received: Sequence[Tensor] = ()
        self._order: Sequence[int] | None = None

    def _compile(self, graph: Any, examples: Any) -> Callable[..., Any]:
        from torch._inductor.compile_fx import compile_fx  # which takes seconds to import

        inner: Any = compile_fx(graph, examples)
        self._inner = inner
        return self._run

    def _run(self, *tensors: Tensor) -> Any:
        self._received = tensors
        assert self._inner is not None
        return self._inner(*tensors)

    def __call__(self, *arguments: Any) -> list[Tensor]:
        """Call the function."""
        flat = _flat(arguments)
        if self._order is None:
            return self._first(arguments, flat)
        assert self._inner is not None
        return list(self._inner(*[flat[i] for i in self._order]))

    def _first(self, arguments: tuple[Any, ...], flat: Sequence[Tensor]) -> list[Tensor]:
        where = {id(t): i for i, t in enumerate(flat)}
        if len(where) < len(flat):
            raise RuntimeError("two weights share a tensor of their states")
        found = self._compiled(*arguments)
        if self._inner is not None:  # as torch.compile may be switched off
            self._order = [where[id(t)] for t in self._received]
            self._received = ()
        return found


def _flat(arguments: Sequence[Sequence[Any]]) -> list[Tensor]:
    """The tensors of lists of tensors and of lists of them."""
    flat: list[Tensor] = []
    for part in arguments:
        for item in part:
            if type(item) is list:
                flat += item
            else:
                flat.append(item)
    return flat
