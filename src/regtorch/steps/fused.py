"""`rt.fuse`: an optimizer's step and the rules attached to it in one compiled pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import ref

from torch.optim import Optimizer

from regtorch.steps.attached import Attached
from regtorch.steps.hooks import attached_of
from regtorch.steps.one_pass.compiled_steps import OnePass
from regtorch.steps.one_pass.updates import known_updates, update_of
from regtorch.steps.wrappers import bare, check_steps

__all__ = ["Fused", "fuse"]


class Fused:
    """The handle that `rt.fuse` returns.

    A deep copy, or what is read from a pickle, is of an optimizer that makes its own steps, as copies drop its hooks.

    Example:
        >>> import torch, regtorch as rt
        >>> optimizer = torch.optim.SGD(torch.nn.Linear(2, 1).parameters(), lr=0.1)
        >>> handle = rt.fuse(optimizer)
        >>> handle.why_not
        ''
        >>> handle.remove()
    """

    def __init__(self, attached: Attached, one_pass: OnePass, optimizer: Optimizer) -> None:
        self._attached: Callable[[], Attached | None] = ref(attached)
        self._optimizer: Callable[[], Optimizer | None] = ref(optimizer)
        self._one_pass: OnePass | None = one_pass
        self._of, self._why_not = type(optimizer).__name__, ""

    @property
    def why_not(self) -> str:
        """Why steps are no longer compiled; empty while they are."""
        return self._why_not if self._one_pass is None else self._one_pass.why_not

    def _on(self) -> bool:
        attached = self._attached()
        return attached is not None and self._optimizer() is not None and attached.one_pass is self._one_pass

    def remove(self) -> None:
        """Let the optimizer make its own steps again; idempotent."""
        attached, optimizer = self._attached(), self._optimizer()
        if attached is not None and optimizer is not None and self._on():
            attached.fuse(optimizer, None)

    def __copy__(self) -> Fused:
        twin = object.__new__(Fused)
        vars(twin).update(vars(self))
        return twin

    def __getstate__(self) -> dict[str, Any]:
        own = {"_attached": _nothing, "_optimizer": _nothing, "_one_pass": None, "_why_not": self.why_not}
        return vars(self) | own

    def __repr__(self) -> str:
        words = [self._of, *([self.why_not] if self.why_not else []), *([] if self._on() else ["removed"])]
        return f"Fused({', '.join(words)})"


def _nothing() -> None:
    """What the optimizer of a copied handle is."""


def fuse(optimizer: Any) -> Fused:
    """Compile an optimizer's steps, with the rules attached to it, into one pass over weights, gradients and state.

    Every other way reads weights and gradients once more for each rule. Rules of elements (L1, L2, L1L2, L2SP, Box,
    NonNeg and others, whose `grain` is an element), also masked, also as one proximal step, are compiled by inductor
    with the update of SGD, Adam, AdamW, RMSprop, Adagrad or Lion (of timm, lion-pytorch or pytorch_optimizer); they may
    be attached before or afterwards. So are rules by norms (GroupLasso's gradient; MaxNorm, UnitNorm and MinMaxNorm of
    float32), which are measured while a unit is in cache; a constraint on columns of more than 262,144 numbers, all
    other constraints of units and their proximal steps act after the pass, as after any step. A weight under another
    penalty's gradient, without a gradient, with a sparse one or at its first step is stepped by the optimizer itself,
    as all are on other devices than CPUs, under the GradScaler of a fused optimizer, and where another pre-hook of its
    steps comes after that of the rules. The state is the optimizer's own, so its `state_dict` stays interchangeable.
    Rates and strengths may change at every step without compiling again.

    It pays for large weights; for small nets take `rt.compile_step` (docs/benchmarks.md).

    The second step takes some seconds, as it compiles. Where that fails, steps go on without, after one warning.

    Args:
        optimizer: one of the optimizers named, or a wrapper around it.

    Returns:
        A handle with `remove()` and `why_not`.

    Raises:
        TypeError: not an optimizer of these classes.
        ValueError: it is fused already.

    Example:
        >>> import torch, regtorch as rt
        >>> net = torch.nn.Linear(4, 1)
        >>> optimizer = torch.optim.Adam(net.parameters())
        >>> handle = rt.L1(1e-4).on(net).attach(optimizer)
        >>> rt.fuse(optimizer)
        Fused(Adam)
    """
    inner = bare(optimizer, "fuse")
    check_steps(inner)
    update = update_of(inner)
    if update is None:
        raise TypeError(f"fuse: optimizer must be one of {known_updates()}, received {type(inner).__name__}")
    attached = attached_of(inner) or Attached()
    if attached.one_pass is not None:
        raise ValueError(f"fuse: this {type(inner).__name__} is fused already; remove() its handle first")
    one_pass = OnePass(update)
    attached.fuse(inner, one_pass)
    return Fused(attached, one_pass, inner)
