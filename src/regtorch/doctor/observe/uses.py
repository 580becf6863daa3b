"""What activations do in a forward pass: idle units of ReLUs, saturated sigmoids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn
from torch._C._functorch import is_functorch_wrapped_tensor
from torch.overrides import TorchFunctionMode

from regtorch.doctor.observe.calls import hooked
from regtorch.doctor.observe.pairs import same_memory
from regtorch.doctor.observe.restored import seed
from regtorch.doctor.observe.subject import Subject

__all__ = ["NEAR", "RELUS", "ActivationWatch", "Look", "Use", "look"]

# Names of torch's functions, which modules, functions and methods all call; relu6 calls hardtanh.
RELUS = {"relu", "relu6", "hardtanh", "leaky_relu"}
_SIGMOIDS = {"sigmoid": 0.0, "special_expit": 0.0, "tanh": -1.0}  # and their lower bounds
_KINDS = RELUS | _SIGMOIDS.keys()
NEAR = 0.01
"""Distance from a sigmoid's bounds within which its slope is almost 0."""
_SAMPLES, _MOST = 64, 16  # samples for which an idle unit must be zero, and batches used for them


@dataclass(frozen=True)
class Use:
    """One use of an activation."""

    layer: str  # the module with weights that ran before it
    kind: str  # the function's name
    idle: Tensor  # ReLUs: whether each unit (channel) is zero for all samples; sigmoids: share of outputs near a bound
    means: Tensor  # of each unit's inputs
    spread: float  # the standard deviation of the inputs
    is_output: bool = False  # whether it computes the net's output

    @property
    def share(self) -> float:
        return float(self.idle.double().mean())

    def moved_from(self, earlier: Use) -> float:
        """The shift of the units' means (root mean square over units), in units of the earlier spread."""
        if self.means.shape != earlier.means.shape:
            return 0.0
        return float((self.means - earlier.means).square().mean().sqrt()) / max(earlier.spread, 1e-12)

    def died_since(self, earlier: Use) -> float:
        """The share of the formerly active units that is idle now."""
        active = (1 - earlier.idle).sum() if self.idle.shape == earlier.idle.shape else torch.zeros(())
        return float((self.idle * (1 - earlier.idle)).sum() / active) if active else 0.0

    def and_(self, other: Use) -> Use:
        """Both uses combined: a unit of a ReLU is idle if idle in both; sigmoids are averaged."""
        if self.idle.shape != other.idle.shape:
            return self
        idle = torch.minimum(self.idle, other.idle) if self.kind in RELUS else (self.idle + other.idle) / 2
        return replace(self, idle=idle)


@dataclass(frozen=True)
class Look:
    """A net in training mode: the loss of the first batch, and the activations over some batches."""

    loss: float
    uses: Mapping[tuple[str, str], Use]


def look(subject: Subject) -> Look:
    """Look at a net, with the same batches and dropout masks each time, and leave it unchanged."""
    target = subject.batches[0][1]
    enough = ceil(_SAMPLES / max(1, target.shape[0] if target.ndim else 1))
    uses: dict[tuple[str, str], Use] = {}
    losses: list[float] = []
    watches: list[ActivationWatch] = []
    outputs: list[Any] = []
    with subject.forward_only():
        seed(0)
        subject.model.train()
        with hooked(subject.model, None, lambda *call: watches[-1].leave(*call), owners=True):
            for number in range(min(enough, _MOST, len(subject.batches))):
                watches.append(ActivationWatch())
                with watches[-1]:
                    outputs.append(subject.output(number))
        for number, (watch, output) in enumerate(zip(watches, outputs, strict=True)):
            losses.append(float(subject.task_loss(output, subject.batch(number)[1])))
            watch.mark(output)
            for key, use in watch.uses.items():
                uses[key] = uses[key].and_(use) if key in uses else use
    return Look(losses[0], uses)


def _concerns(name: str) -> bool:
    """Whether a function of torch is an activation or a layer; switching gradients off and on is one as well."""
    return name.removesuffix("_") in _KINDS or name == "linear" or name.startswith("conv")


class ActivationWatch(TorchFunctionMode):
    """Records every activation, module or function."""

    def __init__(self) -> None:
        super().__init__()
        self.uses: dict[tuple[str, str], Use] = {}
        self._layer = ""
        self._last: tuple[tuple[str, str], Tensor] | None = None
        self._units_last = True  # after linear layers; after convolutions channels are dim 1

    def leave(self, layer: str, module: nn.Module, output: Any) -> None:
        """Note the last layer: the name of a module with its own weights; empty for others."""
        if layer:
            self._layer = layer

    def mark(self, output: Any) -> None:
        """Mark the use that computed the net's output, or a part of it."""
        if self._last is None:
            return
        if isinstance(output, Mapping):
            output = tuple(output.values())
        key, last = self._last
        for part in output if isinstance(output, tuple | list) else (output,):
            if isinstance(part, Tensor) and same_memory(part, last):
                self.uses[key] = replace(self.uses[key], is_output=True)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        begun = self.enter(func, args, kwargs or {}) if _concerns(getattr(func, "__name__", "")) else None
        output = func(*args, **(kwargs or {}))
        if begun is not None:
            self.record(begun, output)
        return output

    def enter(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Use | None:
        """A use that begins, before the function works in place; None for other functions."""
        name = getattr(func, "__name__", "")
        if name == "linear" or name.startswith("conv"):
            self._units_last = name == "linear"
        kind = name.removesuffix("_")
        known = kind in RELUS or kind in _SIGMOIDS
        x = (args[0] if args else kwargs.get("input")) if known else None
        if not isinstance(x, Tensor) or x.ndim < 2 or not x.numel() or is_functorch_wrapped_tensor(x):
            return None
        means, spread = x.float().mean(self._rest(x)), float(x.float().std(correction=0))
        return Use(self._layer, kind, torch.zeros_like(means), means, spread)

    def record(self, begun: Use, output: Tensor) -> None:
        """Record a use with its output."""
        if begun.kind in RELUS:
            rest = self._rest(output)
            idle = ((output.amax(rest) == 0) & (output.amin(rest) == 0)).float()
        else:
            idle = ((output < _SIGMOIDS[begun.kind] + NEAR) | (output > 1 - NEAR)).float().mean()
        use, key = replace(begun, idle=idle), (begun.layer, begun.kind)
        self.uses[key] = use.and_(self.uses[key]) if key in self.uses else use
        self._last = key, output

    def _rest(self, x: Tensor) -> list[int]:
        """All dims but that of the units."""
        unit = x.ndim - 1 if self._units_last else 1
        return [dim for dim in range(x.ndim) if dim != unit]
