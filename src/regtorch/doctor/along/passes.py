"""A look at forward passes: activations, and what batch norms get, from hooks that are there for that look alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import get_ident
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.hooks import RemovableHandle

from regtorch.doctor.observe.uses import ActivationWatch, Use
from regtorch.select.weight import modules_of

__all__ = ["PassReader", "Statistics", "compiled_part"]

_CALL = 2e-5  # seconds that it takes to intercept one of torch's functions, or to call a hook


@dataclass(frozen=True)
class Statistics:
    """What a batch norm has: the batch's statistics, and the running ones that evaluation uses."""

    mean: Tensor
    var: Tensor
    running_mean: Tensor
    running_var: Tensor


class Hook:
    """A hook that copies and pickles of the net do not take along, and that compiled nets leave out."""

    def __init__(self, call: Callable[..., None] | None = None) -> None:
        self._call = call

    def __call__(self, *arguments: Any) -> None:
        if not torch.compiler.is_compiling() and self._call is not None:
            self._call(*arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return Hook, ()


class _Mode(ActivationWatch):
    """Records activations of a training: it counts its own time, and whatever fails in it stays in it."""

    def __init__(self, reader: PassReader) -> None:
        super().__init__()
        self._reader = reader

    def enter(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Use | None:
        begun = perf_counter() - _CALL
        use = self._reader.guarded(lambda: super(_Mode, self).enter(func, args, kwargs))
        self._reader.seconds += perf_counter() - begun
        return use

    def record(self, begun: Use, output: Tensor) -> None:
        at = perf_counter()
        self._reader.guarded(lambda: super(_Mode, self).record(begun, output))
        self._reader.seconds += perf_counter() - at


class PassReader:
    """Reads training passes from `open` to `close`.

    Attributes:
        uses: the activations of all passes together.
        norms: the statistics of each batch norm, in the first pass.
        seconds: that the reading has cost.
        error: the first error of the reading, after which it stops.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._handles: list[RemovableHandle] = []
        self._mode: _Mode | None = None
        self._depth = 0
        self._entered = False
        self._thread = 0
        self.error: Exception | None = None

    def open(self) -> None:
        """Hook every module, as any of them may be the one that training calls."""
        begun = perf_counter()
        self.uses: dict[tuple[str, str], Use] = {}
        self.norms: dict[str, Statistics] = {}
        self.seconds = 0.0
        self._depth, self._thread, self._mode = 0, get_ident(), _Mode(self)
        for name, module in modules_of(self._model).items():
            if not isinstance(module, torch.jit.ScriptModule):
                layer = name if next(module.parameters(recurse=False), None) is not None else ""
                self._handles += [
                    module.register_forward_pre_hook(Hook(self._entering(name))),
                    module.register_forward_hook(Hook(self._leaving(layer)), always_call=True),
                ]
        self.seconds += perf_counter() - begun

    def close(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._leave_mode()  # of a pass that Ctrl-C has ended, after which torch calls no hook
        if self._mode is not None:
            self.uses = self._mode.uses
        self._mode = None

    def give_error(self) -> None:
        """Raise the error of the reading, if there is one."""
        if self.error is not None:
            raise self.error

    def guarded(self, read: Callable[[], Any]) -> Any:
        """What `read` returns; None once any reading has failed. Gradients are not recorded."""
        if self.error is not None:
            return None
        try:
            with torch.no_grad():
                return read()
        except Exception as error:  # tensors that cannot be read here, such as those of vmap
            self.error = error
            return None

    def _entering(self, name: str) -> Callable[..., None]:
        def enter(module: nn.Module, arguments: tuple[Any, ...]) -> None:
            if get_ident() != self._thread or self._mode is None:
                return
            begun = perf_counter() - _CALL
            self._depth += 1
            if self._depth == 1 and torch.is_grad_enabled() and module.training:
                self._mode.__enter__()
                self._entered = True
            learns = module.training and torch.is_grad_enabled()  # outside of guarded, which records no gradients
            if isinstance(module, _BatchNorm) and learns and name not in self.norms:
                self.guarded(lambda: self._read_norm(name, module, arguments))
            self.seconds += perf_counter() - begun

        return enter

    def _leaving(self, layer: str) -> Callable[..., None]:
        def leave(module: nn.Module, _: Any, output: Any) -> None:
            mode = self._mode
            if get_ident() != self._thread or mode is None or not self._depth:
                return
            begun = perf_counter() - _CALL
            self._depth -= 1
            mode.leave(layer, module, output)
            if self._depth == 0 and self._entered:
                self._leave_mode()
                self.guarded(lambda: mode.mark(output))
            self.seconds += perf_counter() - begun

        return leave

    def _leave_mode(self) -> None:
        """Take the mode off the stack of its thread, where others may have come above it."""
        if not self._entered or get_ident() != self._thread:
            return
        self._entered = False
        above: list[Any] = []
        while torch._C._len_torch_function_stack() and (top := torch._C._pop_torch_function_stack()) is not self._mode:
            above.append(top)
        for other in reversed(above):
            torch._C._push_on_torch_function_stack(other)

    def _read_norm(self, name: str, module: _BatchNorm, arguments: tuple[Any, ...]) -> None:
        x = arguments[0] if arguments else None
        mean, var = module.running_mean, module.running_var
        if not isinstance(x, Tensor) or mean is None or var is None:
            return
        rest = [dim for dim in range(x.ndim) if dim != 1]
        values = x.float()
        self.norms[name] = Statistics(
            values.mean(rest), values.var(rest, correction=0), mean.clone().float(), var.clone().float()
        )


def compiled_part(model: nn.Module) -> str | None:
    """The name of a part that torch.compile has compiled, whose calls hooks would recompile; None without one."""
    for name, module in model.named_modules():
        if type(module).__name__ == "OptimizedModule" or getattr(module, "_compiled_call_impl", None) is not None:
            return name or "the net"
    return None
