"""Keras's Ftrl."""

from __future__ import annotations

from typing import Any, Unpack

import torch
from torch import Tensor

from regtorch.checks import nonnegative, number
from regtorch.keras.optimizers.keras_optimizer import KerasOptimizer, LearningRate, Parameters, Slots
from regtorch.keras.optimizers.settings import SharedWithDecay

__all__ = ["Ftrl"]


class Ftrl(KerasOptimizer):
    """Follow the regularized leader, with L1 and L2 inside its closed form.

    With p = -learning_rate_power, g' = g + 2·l2_shrinkage·w and a' = a + g²: z ← z + g' - (a'^p - a^p) / lr · w,
    w ← (clip(z, -l1, l1) - z) / (a'^p / lr + 2·l2 + β / lr), a ← a'. A weight with |z| ≤ l1 is exactly 0. Weights
    are computed from z, not moved, so there is no step size for proximal steps.

    Args:
        params: the net, or parameters or groups of them.
        lr: learning rate (Keras's learning_rate), above 0.
        learning_rate_power: at most 0; 0 gives a constant learning rate.
        initial_accumulator_value: where a starts.
        l1: Keras's l1_regularization_strength.
        l2: Keras's l2_regularization_strength.
        l2_shrinkage: Keras's l2_shrinkage_regularization_strength.
        beta: β.
        shared: the settings of all optimizers; see `SGD`.

    Source: McMahan et al. 2013, Ad Click Prediction: a View from the Trenches.

    Example:
        >>> import torch, regtorch as rt
        >>> w = torch.nn.Parameter(torch.ones(1))
        >>> optimizer = rt.keras.Ftrl([w], lr=0.1, l1=0.01)
    """

    slots = (Slots(("accumulator", "linear")),)

    def __init__(
        self,
        params: Parameters,
        lr: LearningRate = 0.001,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1: float = 0.0,
        l2: float = 0.0,
        l2_shrinkage: float = 0.0,
        beta: float = 0.0,
        **shared: Unpack[SharedWithDecay],
    ) -> None:
        power = number("Ftrl", "learning_rate_power", learning_rate_power, high=0)
        strengths = {"l1": l1, "l2": l2, "l2_shrinkage": l2_shrinkage, "beta": beta}
        checked = {name: nonnegative("Ftrl", name, value) for name, value in strengths.items()}
        start = initial_accumulator_value
        super().__init__(params, shared, lr=lr, learning_rate_power=power, initial_accumulator_value=start, **checked)

    def slot(self, name: str, p: Tensor, group: dict[str, Any]) -> Tensor:
        """The accumulator starts above 0."""
        return torch.full_like(p, group["initial_accumulator_value"] if name == "accumulator" else 0.0)

    def update(self, p: Tensor, g: Tensor, state: dict[str, Any], group: dict[str, Any], t: int) -> None:
        lr, power = group["lr"], -group["learning_rate_power"]
        a, z = state["accumulator"], state["linear"]
        after = a + g.square()
        z.add_(g + 2 * group["l2_shrinkage"] * p - (after.pow(power) - a.pow(power)) / lr * p)
        quadratic = after.pow(power) / lr + 2 * (group["l2"] + group["beta"] / (2 * lr))
        p.copy_((z.clamp(-group["l1"], group["l1"]) - z) / quadratic)
        a.copy_(after)
