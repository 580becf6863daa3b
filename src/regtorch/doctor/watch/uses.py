"""What activations do in a forward pass: which units of a ReLU are off, which sigmoids are at their bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from regtorch.doctor.watch.calls import hooked
from regtorch.doctor.watch.restored import seed
from regtorch.doctor.watch.subject import Subject

__all__ = ["NEAR", "RELUS", "Look", "Use", "look"]

# By the names of torch's functions, which modules, functions and methods all end in. hardtanh is relu6's.
RELUS = {"relu", "relu6", "hardtanh", "leaky_relu"}
_SIGMOIDS = {"sigmoid": 0.0, "special_expit": 0.0, "tanh": -1.0}  # and their lower bounds
NEAR = 0.01
"""A sigmoid's distance from its bounds where its slope is next to 0."""
_SAMPLES, _MOST = 64, 16  # samples over which a unit must be zero to be idle, and batches that are taken for them


@dataclass(frozen=True)
class Use:
    """One use of an activation.

    Attributes:
        layer: the name of the module with weights that ran before it.
        kind: the function's name.
        idle: for ReLUs, of each unit (for convolutions: channel) whether it is zero for all samples; for sigmoids the
            share of outputs near a bound.
        means: of what goes in, of each unit.
        spread: of what goes in, the standard deviation.
        is_output: whether it is what the net puts out.
    """

    layer: str
    kind: str
    idle: Tensor
    means: Tensor
    spread: float
    is_output: bool = False

    @property
    def share(self) -> float:
        """The share that is idle."""
        return float(self.idle.double().mean())

    def moved_from(self, earlier: Use) -> float:
        """By how much a unit's mean has shifted since (root mean square over units), over the spread then."""
        if self.means.shape != earlier.means.shape:
            return 0.0
        return float((self.means - earlier.means).square().mean().sqrt()) / max(earlier.spread, 1e-12)

    def struck_since(self, earlier: Use) -> float:
        """The share of the units that were not idle then which is now."""
        awake = (1 - earlier.idle).sum() if self.idle.shape == earlier.idle.shape else torch.zeros(())
        return float((self.idle * (1 - earlier.idle)).sum() / awake) if awake else 0.0

    def and_(self, other: Use) -> Use:
        """Both together: a unit of a ReLU is idle where it is so in both; of sigmoids the mean counts."""
        if self.idle.shape != other.idle.shape:
            return self
        idle = torch.minimum(self.idle, other.idle) if self.kind in RELUS else (self.idle + other.idle) / 2
        return replace(self, idle=idle)


@dataclass(frozen=True)
class Look:
    """At a net in training mode: the loss of the first batch, and the activations over some batches."""

    loss: float
    uses: Mapping[tuple[str, str], Use]


def look(subject: Subject) -> Look:
    """Look at a net, with the same batches and dropout masks each time, and leave it as it was."""
    target = subject.batches[0][1]
    enough = ceil(_SAMPLES / max(1, target.shape[0] if target.ndim else 1))
    uses: dict[tuple[str, str], Use] = {}
    losses: list[float] = []
    with subject.restored(), torch.no_grad():
        seed(0)
        subject.model.train()
        for number in range(min(enough, _MOST, len(subject.batches))):
            watch = _Watch()
            with watch, hooked(subject.model, None, watch.leave):
                output = subject.output(number)
            losses.append(float(subject.task_loss(output, subject.batch(number)[1])))
            for key, use in watch.outputs_marked(output).items():
                uses[key] = uses[key].and_(use) if key in uses else use
    return Look(losses[0], uses)


class _Watch(TorchFunctionMode):
    """Sees every activation, module or function, while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.uses: dict[tuple[str, str], Use] = {}
        self._layer = ""
        self._last: tuple[tuple[str, str], Tensor] | None = None
        self._units_last = True  # of linear layers' outputs; channels otherwise

    def leave(self, name: str, module: nn.Module, output: Any) -> None:
        """A module was left."""
        if name and any(True for _ in module.parameters(recurse=False)):
            self._layer = name

    def outputs_marked(self, output: Any) -> dict[tuple[str, str], Use]:
        """The uses, with the one that made the net's output marked."""
        if self._last is not None and isinstance(output, Tensor) and output.data_ptr() == self._last[1].data_ptr():
            key = self._last[0]
            self.uses[key] = replace(self.uses[key], is_output=True)
        return self.uses

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name == "linear" or name.startswith("conv"):
            self._units_last = name == "linear"
        kind = name.removesuffix("_")
        known = kind in RELUS or kind in _SIGMOIDS
        x = (args[0] if args else (kwargs or {}).get("input")) if known else None
        if not isinstance(x, Tensor) or x.ndim < 2 or not x.numel():
            return func(*args, **(kwargs or {}))
        unit = x.ndim - 1 if self._units_last else 1
        others = [dim for dim in range(x.ndim) if dim != unit]
        means, spread = x.float().mean(others), float(x.float().std(correction=0))  # first: it may work in place
        output = func(*args, **(kwargs or {}))
        if kind in RELUS:
            idle = ((output.amax(others) == 0) & (output.amin(others) == 0)).float()
        else:
            idle = ((output < _SIGMOIDS[kind] + NEAR) | (output > 1 - NEAR)).float().mean()
        use, key = Use(self._layer, kind, idle, means, spread), (self._layer, kind)
        # Used again it is idle only where it always is.
        self.uses[key] = use.and_(self.uses[key]) if key in self.uses else use
        self._last = key, output
        return output
