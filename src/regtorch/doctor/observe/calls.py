"""One forward pass: which modules are called, in which order, with which inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from regtorch.doctor.observe.pairs import kept
from regtorch.doctor.observe.restored import forward_only, seed
from regtorch.doctor.observe.subject import Subject
from regtorch.init import NORMS
from regtorch.select.weight import modules_of

__all__ = ["DROPOUTS", "Call", "calls", "entering", "hooked", "kept_inputs", "with_weights", "without_dropout"]

DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
_KEPT = (*NORMS, *DROPOUTS)  # modules whose inputs are kept


@dataclass(frozen=True)
class Call:
    """A module's first call."""

    name: str  # dotted; empty for the root
    module: nn.Module
    input: Tensor | None  # a copy of its first input, for norm and dropout layers only
    training: bool  # its mode at that call
    source: str | None  # the leaf module called just before, if its output is this input, unchanged

    @property
    def is_leaf(self) -> bool:
        return next(self.module.children(), None) is None


def calls(subject: Subject, number: int = 0, *, training: bool = True, dropping: bool = True) -> list[Call]:
    """Every module's first call on batch `number`, in call order; `dropping=False` keeps dropout in eval mode."""
    found: dict[str, Call] = {}
    last: list[tuple[str, Tensor, int]] = []  # the latest output and its version, which in-place changes increase

    def enter(name: str, module: nn.Module, arguments: tuple[Any, ...]) -> None:
        first = next((a for a in arguments if isinstance(a, Tensor)), None)
        if name not in found:
            unchanged = [n for n, output, version in last if output is first and version == _version(output)]
            given = kept(first) if isinstance(module, _KEPT) else None
            found[name] = Call(name, module, given, module.training, unchanged[0] if unchanged else None)

    def leave(name: str, module: nn.Module, output: Any) -> None:
        if next(module.children(), None) is None:
            last[:] = [(name, output, _version(output))] if isinstance(output, Tensor) else []

    with forward_only(subject.model), hooked(subject.model, enter, leave):
        seed(0)
        if dropping:
            subject.model.train(training)
        else:
            without_dropout(subject.model, training)
        subject.output(number)
    return list(found.values())


def _version(t: Tensor) -> int:
    """The number of changes in place, which those made in inference mode do not count."""
    return 0 if t.is_inference() else t._version


def without_dropout(model: nn.Module, training: bool) -> None:
    """Set the mode, with dropout off."""
    model.train(training)
    for module in model.modules():
        if isinstance(module, DROPOUTS):
            module.train(False)


def entering(
    subject: Subject,
    module: nn.Module,
    number: int = 0,
    *,
    training: bool = False,
    other: Tensor | None = None,
    draw: int = 0,
) -> tuple[Tensor | None, Any]:
    """What `module` receives first on a batch, dropout off, and the net's output; `other` takes the input's place."""
    taken: list[Any] = []

    def enter(_: nn.Module, arguments: tuple[Any, ...]) -> Any:
        if taken:
            return None
        x = arguments[0] if arguments else None
        taken.append(kept(x))
        return None if other is None else (other, *arguments[1:])

    with ExitStack() as undo:
        undo.enter_context(forward_only(subject.model))
        undo.callback(module.register_forward_pre_hook(enter, prepend=True).remove)
        seed(draw)
        without_dropout(subject.model, training)
        output = subject.output(number)
    x = taken[0] if taken else None
    usable = x is not None and x.layout is torch.strided and x.is_floating_point() and x.numel()
    return x if usable else None, output


@contextmanager
def hooked(
    model: nn.Module,
    enter: Callable[[str, nn.Module, tuple[Any, ...]], None] | None,
    leave: Callable[[str, nn.Module, Any], None],
    *,
    owners: bool = False,
) -> Iterator[None]:
    """Call `enter` and `leave` around every module's forward; with `owners` only of those with their own weights."""

    def on_enter(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        return lambda module, arguments: enter(name, module, arguments) if enter else None

    def on_leave(name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        return lambda module, _, output: leave(name, module, output)

    with ExitStack() as handles:
        for name, module in modules_of(model).items():
            if isinstance(module, torch.jit.ScriptModule) or (owners and next(module.parameters(False), None) is None):
                continue  # scripted ones take no hooks
            if enter:
                handles.callback(module.register_forward_pre_hook(on_enter(name), prepend=True).remove)
            handles.callback(module.register_forward_hook(on_leave(name)).remove)
        yield


def with_weights(found: Sequence[Call]) -> list[nn.Module]:
    """The modules with their own weights, in call order."""
    owners = [
        c.module for c in found if is_parametrized(c.module) or next(c.module.parameters(False), None) is not None
    ]
    # Parametrizations run inside their layer's forward.
    computing = {id(part) for m in owners if is_parametrized(m) for part in m.modules() if part is not m}
    return [m for m in owners if id(m) not in computing]


def kept_inputs(found: Sequence[Call]) -> dict[str, Tensor]:
    """The inputs of norm and dropout layers, by name."""
    return {call.name: call.input for call in found if call.input is not None}
