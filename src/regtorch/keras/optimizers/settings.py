"""The settings that all of Keras's optimizers share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import torch
from torch import Tensor

from regtorch.checks import flag, integer, nonnegative, number

__all__ = ["Settings", "Shared", "SharedWithDecay"]


class Shared(TypedDict, total=False):
    """What every optimizer of `rt.keras` takes beside its own arguments, under Keras's names.

    Attributes:
        clipnorm: the largest norm of one weight's gradient g: g ← g · clipnorm / max(‖g‖, clipnorm).
        clipvalue: the largest magnitude of an element of a gradient.
        global_clipnorm: the largest norm of all gradients together.
        use_ema: keep a running mean of every weight: mean ← ema_momentum · mean + (1 - ema_momentum) · w.
        ema_momentum: its momentum; 0.99 by default.
        ema_overwrite_frequency: every so many updates the means replace the weights; None: only `finalize()` does it.
        ema_from_start: whether the means start at the initial weights, as in Keras 2, or after the first update.
        gradient_accumulation_steps: update once in so many steps, with the mean of their gradients.
        loss_scale_factor: the factor of `scale_loss`, by which gradients are divided.
        dynamic_growth_steps: double that factor after so many finite steps; halve it, and skip the step, if a gradient
            is not finite (Keras's LossScaleOptimizer). None: the factor is fixed.
    """

    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None
    use_ema: bool
    ema_momentum: float
    ema_overwrite_frequency: int | None
    ema_from_start: bool
    gradient_accumulation_steps: int | None
    loss_scale_factor: float | None
    dynamic_growth_steps: int | None


class SharedWithDecay(Shared, total=False):
    """What every optimizer takes whose `weight_decay` is off by default.

    Attributes:
        weight_decay: each update first subtracts lr · weight_decay · w, which is not a penalty.
    """

    weight_decay: float | None


@dataclass(frozen=True)
class Settings:
    """The shared settings, checked; see `Shared`."""

    clipnorm: float | None = None
    clipvalue: float | None = None
    global_clipnorm: float | None = None
    use_ema: bool = False
    ema_momentum: float = 0.99
    ema_overwrite_frequency: int | None = None
    ema_from_start: bool = False
    gradient_accumulation_steps: int | None = None
    loss_scale_factor: float | None = None
    dynamic_growth_steps: int | None = None

    @classmethod
    def of(cls, owner: str, given: Mapping[str, Any]) -> Settings:
        """The settings, checked.

        Raises:
            TypeError: a setting is unknown, or of the wrong type.
            ValueError: a setting is out of range, or excludes another.
        """
        unknown = sorted(given.keys() - cls.__dataclass_fields__.keys())
        if unknown:
            raise TypeError(f"{owner} has no argument {', '.join(unknown)}")
        found: dict[str, Any] = {k: v for k, v in given.items() if v is not None}
        for name in ("clipnorm", "clipvalue", "global_clipnorm"):
            if name in found:
                found[name] = nonnegative(owner, name, found[name]) or None
        clipped = [name for name in ("clipnorm", "clipvalue", "global_clipnorm") if found.get(name) is not None]
        if len(clipped) > 1:
            raise ValueError(f"{owner}: give one of clipnorm, clipvalue, global_clipnorm, received {clipped}")
        for name in ("use_ema", "ema_from_start"):
            flag(owner, name, found.get(name, False))
        number(owner, "ema_momentum", found.get("ema_momentum", 0.99), low=0, high=1)
        for name, low in (
            ("ema_overwrite_frequency", 1),
            ("gradient_accumulation_steps", 2),
            ("dynamic_growth_steps", 1),
        ):
            if name in found:
                found[name] = integer(owner, name, found[name], "None switches it off", low=low)
        if "loss_scale_factor" in found:
            number(owner, "loss_scale_factor", found["loss_scale_factor"], low=0, above=True)
        elif "dynamic_growth_steps" in found:
            raise ValueError(f"{owner}: dynamic_growth_steps needs a loss_scale_factor to start from; 32768 is usual")
        return cls(**found)

    @property
    def steps_per_update(self) -> int:
        """The number of steps whose gradients make one update."""
        return self.gradient_accumulation_steps or 1

    def clipped(self, gradients: Sequence[Tensor]) -> list[Tensor]:
        """The gradients after clipping; those given are left as they are."""
        if self.clipnorm is not None:
            c = self.clipnorm
            return [g * c / g.norm().clamp(min=c) for g in gradients]
        if self.global_clipnorm is not None and gradients:
            c, device = self.global_clipnorm, gradients[0].device
            norm = torch.stack([g.norm().to(device) for g in gradients]).norm()
            scale = c / norm.clamp(min=c) + (norm - norm)  # NaN if a gradient is not finite, as in Keras
            return [g * scale.to(g.device, g.dtype) for g in gradients]
        if self.clipvalue is not None:
            return [g.clamp(-self.clipvalue, self.clipvalue) for g in gradients]
        return list(gradients)
