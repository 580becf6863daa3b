"""Forward passes, told apart: where one begins, whether it raised, and whether a loss may still be made of it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import get_ident
from types import FrameType
from typing import Any
from weakref import ref

import torch
from torch import Tensor, nn

from regtorch.steps.frames import is_running

__all__ = ["Pass", "Passes", "aliased", "floats_in", "in_backward"]

# Frames, weak references and graphs are nothing that can be compiled.
_eagerly: Any = torch._disable_dynamo  # pyright: ignore[reportPrivateImportUsage]
_MODULE_CALLS = nn.Module.__call__.__code__.co_filename


class Pass:
    """What was recorded in one outermost call of a module.

    Attributes:
        mode: whether gradients were on, and whether the net was in training mode.
        values: name and value of what was recorded, and whether gradients were on just then.
    """

    def __init__(self, mode: tuple[bool, bool]) -> None:
        self.mode = mode
        self.values: list[tuple[str, Tensor, bool]] = []
        self._tensors: list[ref[Tensor]] = []
        self._tokens: list[ref[_Token]] = []
        self._over = _Over()

    def recorded(self, output: object) -> None:
        """Follow the graph behind what a watched module put out."""
        for tensor in floats_in(output):
            if tensor.grad_fn is not None:
                token = _Token()  # the graph behind the output holds it, and whoever makes a loss of it holds the graph
                metadata: Any = tensor.grad_fn.metadata
                metadata[_Token] = token
                self._tokens.append(ref(token))
                tensor.register_hook(self._over.after_backward)

    def returned(self, output: object) -> None:
        """Follow what the pass put out at last, which may have no graph."""
        self.recorded(output)
        self._tensors += [ref(tensor) for tensor in floats_in(output) if tensor.grad_fn is None]

    @property
    def pending(self) -> bool:
        """Whether a loss may still be made of it: others hold its graph or output, and no backward went through it."""
        if self._over.yes:
            return False
        if any(tensor() is not None for tensor in self._tensors):
            return True
        tokens = {token for held in self._tokens if (token := held()) is not None}
        return bool(tokens) and not tokens <= set(_tokens_behind(value for _, value, _ in self.values))


class _Token:
    """Something a graph can hold."""


class _Over:
    """Whether a backward went through a pass; apart from the pass, as the graph holds it and must not hold itself."""

    yes = False

    def after_backward(self, grad: Tensor) -> None:
        """A backward that makes a graph, as a gradient penalty's, is part of a loss to come."""
        self.yes = self.yes or not torch.is_grad_enabled()


@dataclass
class _Call:
    """A pass that is on: the calls of modules in it, and what was being handled when it began."""

    now: Pass
    frames: list[FrameType | None]
    handled: int


class Passes:
    """The passes of a net since they were last read.

    Args:
        net: the net, for its mode.
        outermost: the modules whose outermost call is a pass.
    """

    def __init__(self, net: nn.Module, outermost: Iterable[nn.Module]) -> None:
        self._net = net
        self._calls: dict[int, _Call] = {}  # by their threads
        self._passes: list[Pass] = []
        self._read: dict[tuple[bool, bool], list[Pass]] = {}  # by the mode of the passes
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        for module in outermost:
            self._handles += [
                module.register_forward_pre_hook(self._enter),
                module.register_forward_hook(self._leave, always_call=True),
            ]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_passes": [], "_read": {}, "_calls": {}}  # no copy can hold a graph's values

    @_eagerly
    def _enter(self, module: nn.Module, args: object) -> None:
        if in_backward():
            return
        call = self._call()
        if call is None:
            call = self._calls[get_ident()] = _Call(self._begin(), [], _handled())
        call.frames.append(_frame_of_call())

    @_eagerly
    def _leave(self, module: nn.Module, args: object, output: object) -> None:
        call = self._call()
        if in_backward() or call is None:
            return
        call.frames.pop()
        if call.frames:
            return
        del self._calls[get_ident()]
        if _handled() == call.handled:
            call.now.returned(output)
        else:
            self._passes.remove(call.now)  # it raised

    def _call(self) -> _Call | None:
        """The pass that is on in this thread."""
        call = self._calls.get(get_ident())
        if call is None or is_running(call.frames[0]):
            return call
        del self._calls[get_ident()]  # Ctrl-C ended that call, of which no hook tells
        self._passes.remove(call.now)
        return None

    def _mode(self) -> tuple[bool, bool]:
        return torch.is_grad_enabled(), self._net.training

    def _begin(self) -> Pass:
        """A new pass; those that were read, or of which no loss can be made any more, are forgotten."""
        read = [p for passes in self._read.values() for p in passes]
        on = [call.now for call in self._calls.values()]
        self._passes = [p for p in self._passes if p in on or (p not in read and p.pending)]
        self._read = {}
        self._passes.append(Pass(self._mode()))
        return self._passes[-1]

    @_eagerly
    def record(self, name: str, values: Sequence[Tensor], output: object) -> None:
        """Keep values of the pass that is on, or of a module called by itself, and follow the output they are of."""
        call = self._call()
        now = self._begin() if call is None else call.now
        now.values += [(name, value, torch.is_grad_enabled()) for value in values]
        if call is None:
            now.returned(output)
        else:
            now.recorded(output)

    def read(self) -> list[tuple[str, Tensor, bool]]:
        """The values of the last pass, and of earlier ones of which a loss may still be made, as by siamese nets.

        Passes in the mode that is on come first: a validation between a forward and the reading is not meant.
        """
        self._call()
        modes = [p.mode for p in self._passes]
        if not modes:
            return []
        mode = self._mode() if self._mode() in modes else modes[-1]
        if mode not in self._read:
            passes = [p for p in self._passes if p.mode == mode]
            self._read[mode] = [p for p in passes[:-1] if p.pending] + passes[-1:]
        return [value for p in self._read[mode] for value in p.values]

    def remove(self) -> None:
        """Stop watching."""
        for handle in self._handles:
            handle.remove()


def _frame_of_call() -> FrameType | None:
    """The frame of the module's call whose hook runs."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename != _MODULE_CALLS:
        frame = frame.f_back
    return frame


def _handled() -> int:
    """Which exception is being handled: inside a last hook another one than before where the forward raised."""
    return id(sys.exc_info()[1])


def _tokens_behind(values: Iterable[Tensor]) -> Iterator[_Token]:
    """The tokens in the graph of values."""
    seen: set[Any] = set()
    nodes: list[Any] = [value.grad_fn for value in values]
    while nodes:
        node = nodes.pop()
        if node is not None and node not in seen:
            seen.add(node)
            nodes += [behind for behind, _ in node.next_functions]
            if _Token in node.metadata:
                yield node.metadata[_Token]


def in_backward() -> bool:
    """Whether a backward is on: gradient checkpointing runs the forward again inside it."""
    return torch._C._current_graph_task_id() != -1


def floats_in(output: object) -> Iterator[Tensor]:
    """The floating-point tensors of an output, one level of tuple, list or dict deep."""
    parts = output.values() if isinstance(output, Mapping) else output if isinstance(output, Sequence) else [output]
    for part in parts:
        if isinstance(part, Tensor) and part.is_floating_point():
            yield part


def aliased(output: Any) -> Any:
    """The same output by a node of its own in the graph.

    The graph of a value that is computed from an output holds that output's node, but not its alias's: so the alias
    shows whether anybody else still holds the graph.
    """
    if isinstance(output, Tensor):
        return output.view_as(output) if output.is_floating_point() and output.requires_grad else output
    if type(output) in (tuple, list):
        return type(output)(map(aliased, output))
    if type(output) is dict:
        return {key: aliased(value) for key, value in output.items()}
    return output
