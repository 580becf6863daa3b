"""A compiled function that is called without dynamo, which takes longer than a step of a small net."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from regtorch.steps.one_pass.inductor import coded

__all__ = ["Direct"]


class Direct:
    """Compiles a function of lists of tensors, or of lists of such; later calls go to the compiler's code at once.

    The function must depend on nothing but its arguments and tensors of its own, and on these alike at every call; it
    returns nothing.

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
        self._order: Sequence[int | Tensor] | None = None  # of the arguments, or the tensors themselves

    def _compile(self, graph: Any, examples: Any) -> Callable[..., Any]:
        inner = self._inner = coded(graph, examples)

        def run(*tensors: Tensor) -> Any:
            self._received = tensors
            return inner(*tensors)

        return run

    def __call__(self, *arguments: Any) -> None:
        """Call the function."""
        flat = _flat(arguments)
        if self._order is None:
            self._first(arguments, flat)
            return
        assert self._inner is not None
        self._inner(*[flat[at] if type(at) is int else at for at in self._order])

    def _first(self, arguments: tuple[Any, ...], flat: Sequence[Tensor]) -> None:
        where = {id(t): i for i, t in enumerate(flat)}
        if len(where) < len(flat):
            raise RuntimeError("two weights share a tensor of their states")
        self._compiled(*arguments)
        if self._inner is not None and not self._checked:  # as torch.compile may be switched off
            self._order = [where.get(id(t), t) for t in self._received]  # else the function's own, such as a mask
        self._received = ()


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
