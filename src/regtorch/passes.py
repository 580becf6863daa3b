"""Forward passes, told apart: where one begins, whether it raised, and whether a loss may still be made of it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import FrameType
from typing import Any
from weakref import ref

import torch
from torch import Tensor, nn

from regtorch.frames import is_running

__all__ = ["Pass", "Passes", "floats_in", "in_backward"]


class Pass:
    """What was recorded in one outermost call of a module.

    Attributes:
        mode: whether gradients were on, and whether the net was in training mode.
        values: name and value of what was recorded, and whether gradients were on just then.
    """

    def __init__(self, mode: tuple[bool, bool]) -> None:
        self.mode = mode
        self.values: list[tuple[str, Tensor, bool]] = []
        self._holders: list[ref[Any]] = []
        self._done = False

    def returned(self, output: object) -> None:
        """The outermost call returned `output`."""
        for tensor in floats_in(output):
            self._holders.append(ref(tensor))
            if tensor.grad_fn is not None:
                token = _Token()  # the graph behind the output holds it, and whoever makes a loss of it holds the graph
                metadata: Any = tensor.grad_fn.metadata
                metadata[_Token] = token
                self._holders.append(ref(token))
                tensor.register_hook(self._after_backward)

    def _after_backward(self, grad: Tensor) -> None:
        self._done = True

    @property
    def pending(self) -> bool:
        """Whether a loss may still be made of it: its output is held by somebody, and no backward went through it."""
        return not self._done and any(holder() is not None for holder in self._holders)


class _Token:
    """Something a graph can hold."""


class Passes:
    """The passes of a net since they were last read.

    Args:
        net: the net, for its mode.
        outermost: the modules whose outermost call is a pass.
    """

    def __init__(self, net: nn.Module, outermost: Iterable[nn.Module]) -> None:
        self._net = net
        self._calls: list[tuple[nn.Module, FrameType | None]] = []  # those that are on
        self._passes: list[Pass] = []
        self._read: list[Pass] | None = None
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        for module in outermost:
            self._handles += [
                module.register_forward_pre_hook(self._enter),
                module.register_forward_hook(self._leave, always_call=True),
            ]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_passes": [], "_read": None, "_calls": []}  # no copy can hold a graph's values

    def _enter(self, module: nn.Module, args: object) -> None:
        if in_backward():
            return
        if any(module is other for other, _ in self._calls) and not is_running(self._calls[0][1]):
            self._calls = []  # Ctrl-C ended that call, of which no hook tells
        if not self._calls:
            self._begin()
        self._calls.append((module, None if torch.compiler.is_compiling() else sys._getframe(1)))

    def _leave(self, module: nn.Module, args: object, output: object) -> None:
        if in_backward() or not self._calls:
            return
        self._calls.pop()
        if not self._calls and not torch.compiler.is_compiling():
            self._passes[-1].returned(output)

    def _begin(self) -> Pass:
        mode = torch.is_grad_enabled(), self._net.training
        if self._read is not None or (self._passes and self._passes[-1].mode != mode):
            self._passes, self._read = [], None
        self._passes.append(Pass(mode))
        return self._passes[-1]

    def record(self, name: str, values: Sequence[Tensor]) -> None:
        """Keep values of the pass that is on; outside of one, of the modules called by themselves since the reading."""
        if self._calls:
            now = self._passes[-1]
        else:
            now = self._begin()
            now.returned(values)  # the values themselves hold the graph: they count until they are read
        now.values += [(name, value, torch.is_grad_enabled()) for value in values]

    def read(self) -> list[tuple[str, Tensor, bool]]:
        """The values of the last pass, and of earlier ones of which a loss may still be made, as by siamese nets."""
        if self._read is None:
            self._read = [p for p in self._passes[:-1] if p.pending] + self._passes[-1:]
        return [value for p in self._read for value in p.values]

    def remove(self) -> None:
        """Stop watching."""
        for handle in self._handles:
            handle.remove()


def in_backward() -> bool:
    """Whether a backward is on: gradient checkpointing runs the forward again inside it."""
    return torch._C._current_graph_task_id() != -1


def floats_in(output: object) -> Iterator[Tensor]:
    """The floating-point tensors of an output, one level of tuple, list or dict deep."""
    parts = output.values() if isinstance(output, Mapping) else output if isinstance(output, Sequence) else [output]
    for part in parts:
        if isinstance(part, Tensor) and part.is_floating_point():
            yield part
