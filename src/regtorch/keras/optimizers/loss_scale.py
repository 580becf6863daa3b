"""Gradients of a scaled loss, as Keras's `loss_scale_factor` and LossScaleOptimizer take them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim import Optimizer

from regtorch.checks import shown
from regtorch.keras.optimizers.settings import Settings

__all__ = ["LossScaled"]


class LossScaled(Optimizer):
    """The part of an optimizer that scales the loss; the scale is in its groups."""

    settings: Settings
    found_inf: Tensor | None  # nonzero after a step that was skipped; rules read it
    _scaled: bool  # whether scale_loss was called since the last step

    @property
    def grad_scale(self) -> Tensor | None:
        """The loss scale, by which attached penalties multiply their gradients; None without one."""
        scale = self.param_groups[0].get("loss_scale")
        return None if scale is None else torch.tensor(scale)

    def scale_loss(self, loss: Tensor) -> Tensor:
        """The loss times the loss scale, for `backward()`; the loss itself without one."""
        self._scaled = True
        scale = self.param_groups[0].get("loss_scale")
        return loss if scale is None else loss * scale

    def _unscale(self, gradients: list[Tensor]) -> bool:
        """Divide the gradients by the loss scale; False if the step is to be skipped."""
        first = self.param_groups[0]
        scale, growth = first.get("loss_scale"), self.settings.dynamic_growth_steps
        if scale is None:
            return True
        if not self._scaled:
            raise RuntimeError(
                f"{type(self).__name__}: the gradients lack the loss scale of {shown(scale)}; call "
                "optimizer.scale_loss(loss).backward() instead of loss.backward()"
            )
        self._scaled = False
        finite = growth is None or all(bool(g.isfinite().all()) for g in gradients)
        self.found_inf = torch.tensor(0.0 if finite else 1.0)
        gradients[:] = [g / scale for g in gradients]
        if growth is not None:
            grown = finite and first["finite_steps"] == growth - 1
            for group in self.param_groups:
                group["loss_scale"] = scale * (2.0 if grown else 1.0 if finite else 0.5)
                group["finite_steps"] = first["finite_steps"] + 1 if finite and not grown else 0
        return finite
