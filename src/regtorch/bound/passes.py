"""Track forward passes: where one begins, whether it raised, and whether a loss may still be computed from it."""

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

# Frames, weak references and graphs cannot be compiled.
_eagerly: Any = torch._disable_dynamo  # pyright: ignore[reportPrivateImportUsage]
_MODULE_CALLS = nn.Module.__call__.__code__.co_filename


class Pass:
    """The values recorded in one outermost call of a module.

    Attributes:
        mode: whether gradients were enabled, and whether the network was in training mode.
        values: the recorded names and values, each with whether gradients were enabled.
    """

    def __init__(self, mode: tuple[bool, bool]) -> None:
        self.mode = mode
        self.values: list[tuple[str, Tensor, bool]] = []
        self._tensors: list[ref[Tensor]] = []
        self._tokens: list[ref[_Token]] = []
        self._over = _Over()

    def recorded(self, output: object) -> None:
        """Track the graph of a watched module's output."""
        for tensor in floats_in(output):
            if tensor.grad_fn is not None:
                token = _Token()  # alive as long as a loss or anything else holds the graph
                metadata: Any = tensor.grad_fn.metadata
                metadata[_Token] = token
                self._tokens.append(ref(token))
                tensor.register_hook(self._over.after_backward)

    def returned(self, output: object) -> None:
        """Track the final output of the pass, which may have no graph."""
        self.recorded(output)
        self._tensors += [ref(tensor) for tensor in floats_in(output) if tensor.grad_fn is None]

    @property
    def pending(self) -> bool:
        """Whether a loss may still be computed: its graph or output is in use, and no backward has run through it."""
        if self._over.yes:
            return False
        if any(tensor() is not None for tensor in self._tensors):
            return True
        tokens = {token for held in self._tokens if (token := held()) is not None}
        return bool(tokens) and not tokens <= set(_tokens_behind(value for _, value, _ in self.values))


class _Token:
    """An object held by a graph."""


class _Over:
    """Whether a backward has run through a pass; a separate object, which avoids a reference cycle with the graph."""

    yes = False

    def after_backward(self, grad: Tensor) -> None:
        """Ignores a backward with create_graph=True, as for a gradient penalty: it is part of a loss."""
        self.yes = self.yes or not torch.is_grad_enabled()


@dataclass
class _Call:
    """A running pass: the module calls in it, and the exception being handled when it began."""

    now: Pass
    frames: list[FrameType | None]
    handled: int


class Passes:
    """The unread passes of a network; the outermost call of any of the modules `outermost` is a pass."""

    def __init__(self, net: nn.Module, outermost: Iterable[nn.Module]) -> None:
        self._net = net
        self._calls: dict[int, _Call] = {}  # by thread
        self._passes: list[Pass] = []
        self._read: dict[tuple[bool, bool], list[Pass]] = {}  # by mode
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        for module in outermost:
            self._handles += [
                module.register_forward_pre_hook(self._enter),
                module.register_forward_hook(self._leave, always_call=True),
            ]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_passes": [], "_read": {}, "_calls": {}}  # values in a graph cannot be copied

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
        """The running pass of this thread."""
        call = self._calls.get(get_ident())
        if call is None or is_running(call.frames[0]):
            return call
        del self._calls[get_ident()]  # ended by Ctrl-C, after which no hook runs
        self._passes.remove(call.now)
        return None

    def _mode(self) -> tuple[bool, bool]:
        return torch.is_grad_enabled(), self._net.training

    def _begin(self) -> Pass:
        """Begin a pass; forget the passes that were read or are no longer pending."""
        read = [p for passes in self._read.values() for p in passes]
        on = [call.now for call in self._calls.values()]
        self._passes = [p for p in self._passes if p in on or (p not in read and p.pending)]
        self._read = {}
        self._passes.append(Pass(self._mode()))
        return self._passes[-1]

    @_eagerly
    def record(self, name: str, values: Sequence[Tensor], output: object) -> None:
        """Record values of an output in the running pass, or of a module called directly, and track the output."""
        call = self._call()
        now = self._begin() if call is None else call.now
        now.values += [(name, value, torch.is_grad_enabled()) for value in values]
        if call is None:
            now.returned(output)
        else:
            now.recorded(output)

    def read(self) -> list[tuple[str, Tensor, bool]]:
        """The values of the last pass and of earlier pending ones, as in siamese networks.

        Only passes in the current mode count, if any: this skips a validation between the forward pass and the reading.
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
    """The frame of the module call whose hook is running."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename != _MODULE_CALLS:
        frame = frame.f_back
    return frame


def _handled() -> int:
    """The id of the exception being handled, which differs in a post-hook if the forward raised."""
    return id(sys.exc_info()[1])


def _tokens_behind(values: Iterable[Tensor]) -> Iterator[_Token]:
    """The tokens in the graphs of values."""
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
    """Whether a backward is running: gradient checkpointing repeats the forward pass in it."""
    return torch._C._current_graph_task_id() != -1


def floats_in(output: object) -> Iterator[Tensor]:
    """The floating-point tensors of an output, also one level deep in a tuple, list or dict."""
    parts = output.values() if isinstance(output, Mapping) else output if isinstance(output, Sequence) else [output]
    for part in parts:
        if isinstance(part, Tensor) and part.is_floating_point():
            yield part


def aliased(output: Any) -> Any:
    """The same output with a new node in the graph.

    Recorded values hold the original node but not the alias's, so the alias shows whether the output is in use.
    """
    if isinstance(output, Tensor):
        return output.view_as(output) if output.is_floating_point() and output.requires_grad else output
    if type(output) in (tuple, list):
        return type(output)(map(aliased, output))
    if type(output) is dict:
        return {key: aliased(value) for key, value in output.items()}
    return output
