"""Run a net without its last activation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from regtorch.doctor.observe.pairs import same_memory

__all__ = ["last_activation", "leave_last_activation_out", "without_last_activation"]

_HEADS = {"sigmoid", "special_expit", "softmax", "log_softmax", "tanh", "relu"}  # names of torch's functions


def leave_last_activation_out(model: nn.Module) -> list[Any]:
    """Hook the net so that it returns the input of its last sigmoid, tanh, softmax or ReLU; returns the handles."""
    return _hooked(model, [])


@contextmanager
def without_last_activation(model: nn.Module) -> Iterator[None]:
    """The same as a context."""
    modes: list[_LastActivation] = []
    handles = _hooked(model, modes)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for mode in modes:  # of a pass that Ctrl-C ended, after which torch calls no hook
            mode.__exit__(None, None, None)


def _hooked(model: nn.Module, modes: list[_LastActivation]) -> list[Any]:
    def enter(*_: Any) -> None:
        modes.append(_LastActivation())
        modes[-1].__enter__()

    def leave(_: nn.Module, __: Any, output: Any) -> Any:
        mode = modes.pop()
        mode.__exit__(None, None, None)
        return mode.undone(output)

    return [model.register_forward_pre_hook(enter), model.register_forward_hook(leave, always_call=True)]


def last_activation(forward: Callable[[], Any]) -> str:
    """The name of the function that computes what `forward` returns; empty if unknown."""
    with _LastActivation() as mode:
        output = forward()
    return mode.kind if mode.ends_in(output) else ""


class _LastActivation(TorchFunctionMode):
    """Records the last activation's name, input and output."""

    def __init__(self) -> None:
        super().__init__()
        self.kind = ""
        self.pair: tuple[Tensor, Tensor] | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        x = args[0] if args and isinstance(args[0], Tensor) and name.removesuffix("_") in _HEADS else None
        if x is not None and (name.endswith("_") or (kwargs or {}).get("inplace")):
            x = x.clone()
        output = func(*args, **(kwargs or {}))
        if x is not None:
            self.kind, self.pair = name.removesuffix("_"), (x, output)
        return output

    def ends_in(self, output: Any) -> bool:
        return self.pair is not None and isinstance(output, Tensor) and same_memory(output, self.pair[1])

    def undone(self, output: Any) -> Any:
        if self.pair is None or not self.ends_in(output):
            return output
        return self.pair[0].reshape(output.shape)
