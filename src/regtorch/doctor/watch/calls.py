"""One forward pass: which modules were called, in which order, and what they took in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from regtorch.doctor.watch.restored import restored, seed
from regtorch.doctor.watch.subject import Subject
from regtorch.init import NORMS
from regtorch.select.weight import modules_of

__all__ = ["DROPOUTS", "Call", "calls", "hooked", "kept_inputs", "with_weights"]

DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
_KEPT = (*NORMS, *DROPOUTS)  # whose inputs are kept


@dataclass(frozen=True)
class Call:
    """A module's first call.

    Attributes:
        name: its dotted name; the root's is empty.
        module: the module.
        input: its first input, a copy; of norm and dropout layers alone.
        source: the module without submodules called just before it whose output it takes in as it came, if any.
    """

    name: str
    module: nn.Module
    input: Tensor | None
    source: str | None

    @property
    def is_leaf(self) -> bool:
        """Whether the module has no submodules."""
        return not any(True for _ in self.module.children())


def calls(subject: Subject, number: int = 0, *, training: bool = True, dropping: bool = True) -> list[Call]:
    """Every module's first call on a batch, in the order in which they are entered.

    Args:
        subject: what is examined.
        number: of the batch.
        training: False for evaluation mode.
        dropping: False lets dropout layers alone stay in evaluation mode.
    """
    found: dict[str, Call] = {}
    last: list[tuple[str, Tensor, int]] = []  # the output that came last, and its version: it may be changed in place

    def enter(name: str, module: nn.Module, arguments: tuple[Any, ...]) -> None:
        first = next((a for a in arguments if isinstance(a, Tensor)), None)
        if name not in found:
            as_it_came = [n for n, output, version in last if output is first and version == output._version]
            kept = first.detach().clone() if first is not None and isinstance(module, _KEPT) else None
            found[name] = Call(name, module, kept, as_it_came[0] if as_it_came else None)

    def leave(name: str, module: nn.Module, output: Any) -> None:
        if not any(True for _ in module.children()):
            last[:] = [(name, output, output._version)] if isinstance(output, Tensor) else []

    with restored(subject.model), torch.no_grad(), hooked(subject.model, enter, leave):
        seed(0)
        subject.model.train(training)
        for module in subject.model.modules():
            if isinstance(module, DROPOUTS):
                module.train(training and dropping)
        subject.output(number)
    return list(found.values())


@contextmanager
def hooked(
    model: nn.Module,
    enter: Callable[[str, nn.Module, tuple[Any, ...]], None] | None,
    leave: Callable[[str, nn.Module, Any], None],
) -> Iterator[None]:
    """Call `enter` and `leave` around every module's forward."""

    def on_enter(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        return lambda module, arguments: enter(name, module, arguments) if enter else None

    def on_leave(name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        return lambda module, _, output: leave(name, module, output)

    with ExitStack() as handles:
        for name, module in modules_of(model).items():
            if enter:
                handles.callback(module.register_forward_pre_hook(on_enter(name), prepend=True).remove)
            handles.callback(module.register_forward_hook(on_leave(name)).remove)
        yield


def with_weights(found: Sequence[Call]) -> list[nn.Module]:
    """The modules with weights of their own, in the order in which they are entered."""
    owners = [c.module for c in found if is_parametrized(c.module) or any(True for _ in c.module.parameters(False))]
    # What computes a weight is entered in the midst of its layer.
    computing = {id(part) for m in owners if is_parametrized(m) for part in m.modules() if part is not m}
    return [m for m in owners if id(m) not in computing]


def kept_inputs(found: Sequence[Call]) -> dict[str, Tensor]:
    """What norm and dropout layers took in, by name."""
    return {call.name: call.input for call in found if call.input is not None}
