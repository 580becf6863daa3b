"""Keras's Adafactor."""

from __future__ import annotations

from typing import Any, Unpack

import torch
from torch import Tensor

from regtorch.checks import nonnegative, number
from regtorch.keras.net_variables import NetVariable
from regtorch.keras.optimizers.keras_optimizer import KerasOptimizer, LearningRate, Parameters
from regtorch.keras.optimizers.settings import SharedWithDecay

__all__ = ["Adafactor"]


class Adafactor(KerasOptimizer):
    """Adam without m, and with v of a matrix from the means r of its rows and c of its columns: v = r cᵀ / mean(r).

    With the decay β = 1 - tᵏ, k = beta_2_decay: r and c are running means of g² + eps1; u = g / √v is divided by
    max(1, rms(u) / clip_threshold), and w ← w - max(eps2, rms(w)) · min(lr, 1/√t) · u. Rows and columns are the last
    two dims of Keras's layout: the output and input channels of a torch weight, dims 0 and 1. They are other dims only
    for a depthwise convolution with several outputs for each input. The weight's norm couples its elements, so there is
    no step size for proximal steps.

    Args:
        params: the net, or parameters or groups of them.
        lr: learning rate (Keras's learning_rate).
        beta_2_decay: k, at most 0.
        eps1: added to g² (Keras's epsilon_1).
        eps2: the least scale of a weight (Keras's epsilon_2).
        clip_threshold: the largest rms of u.
        relative_step: no effect: Keras takes min(lr, 1/√t) with and without it.
        shared: the settings of all optimizers; see `SGD`.

    Source: Shazeer and Stern 2018, Adafactor: Adaptive Learning Rates with Sublinear Memory Cost, arXiv:1804.04235.

    Example:
        >>> import torch, regtorch as rt
        >>> w = torch.nn.Parameter(torch.ones(2, 3))
        >>> optimizer = rt.keras.Adafactor([w], lr=0.01)
    """

    def __init__(
        self,
        params: Parameters,
        lr: LearningRate = 0.001,
        beta_2_decay: float = -0.8,
        eps1: float = 1e-30,
        eps2: float = 1e-3,
        clip_threshold: float = 1.0,
        relative_step: bool = True,
        **shared: Unpack[SharedWithDecay],
    ) -> None:
        checked = {
            "beta_2_decay": number("Adafactor", "beta_2_decay", beta_2_decay, high=0),
            "eps1": nonnegative("Adafactor", "eps1", eps1),
            "eps2": nonnegative("Adafactor", "eps2", eps2),
            "clip_threshold": number("Adafactor", "clip_threshold", clip_threshold, low=0, above=True),
        }
        super().__init__(params, shared, lr=lr, relative_step=relative_step, **checked)

    def slots_of(self, group: dict[str, Any], p: Tensor) -> list[tuple[str, ...]]:
        """Keras has numbers for r and c of vectors too."""
        return [("r", "c", "v")]

    def slot(self, name: str, p: Tensor, group: dict[str, Any]) -> Tensor:
        """Zeros; dim 0 of r and dim 1 of c have size 1."""
        if name == "v":
            return torch.zeros_like(p)
        return torch.zeros_like(p.narrow(_DIM[name], 0, 1)) if p.ndim > 1 else p.new_zeros(())

    def update(self, p: Tensor, g: Tensor, state: dict[str, Any], group: dict[str, Any], t: int) -> None:
        beta = 1 - t ** group["beta_2_decay"]
        square, v = g.square() + group["eps1"], state["v"]
        if p.ndim > 1:
            for name, dim in _DIM.items():
                state[name].mul_(beta).add_(square.mean(dim, keepdim=True), alpha=1 - beta)
            r: Tensor = state["r"]
            torch.mul(r / r.mean(1, keepdim=True), state["c"], out=v)
        else:
            v.mul_(beta).add_(square, alpha=1 - beta)
        u = g / v.sqrt()
        u = u / (_rms(u) / group["clip_threshold"]).clamp(min=1.0)
        rate = min(group["lr"], t**-0.5)
        p.sub_(_rms(p).clamp(min=group["eps2"]) * rate * u)

    def keras_shape(self, name: str, weight: NetVariable) -> tuple[int, ...]:
        """Without the last of Keras's dims for r, and the one before it for c."""
        shape = weight.variable.shape
        if name not in _AXIS:
            return shape
        return () if len(shape) < 2 else shape[:-1] if name == "r" else (*shape[:-2], shape[-1])

    def state_name(self, name: str, weight: NetVariable) -> str:
        """R and c change places for a depthwise kernel, whose input channels are torch's dim 0."""
        if name not in _AXIS or weight.tensor.ndim < 2:
            return name
        dims = weight.variable.dims([_AXIS[name]])
        found = [ours for ours, dim in _DIM.items() if dims == (dim,)]
        if not found:
            raise ValueError(
                f"load_keras_state: Adafactor's {name} of the {weight.variable.name} {weight.variable.shape} of "
                f"{weight} is not a mean over torch's dim 0 or 1, so it cannot be converted"
            )
        return found[0]

    def from_keras(self, name: str, value: Tensor, weight: NetVariable) -> Tensor | None:
        if name not in _AXIS:
            return super().from_keras(name, value, weight)
        if weight.tensor.ndim < 2:
            return value
        full = value.unsqueeze(_AXIS[name]).expand(weight.variable.shape)
        return weight.to_torch(full).narrow(_DIM[self.state_name(name, weight)], 0, 1)

    def to_keras(self, name: str, weight: NetVariable) -> Tensor:
        if name not in _AXIS:
            return super().to_keras(name, weight)
        value = self.state[weight.tensor].get(self.state_name(name, weight))
        if value is None or value.ndim == 0:
            return weight.tensor.new_zeros(self.keras_shape(name, weight))
        return weight.to_keras(value.expand_as(weight.tensor)).select(_AXIS[name], 0)


_DIM = {"r": 0, "c": 1}  # the dim of which each is the mean
_AXIS = {"r": -1, "c": -2}  # the same, of Keras's axes


def _rms(x: Tensor) -> Tensor:
    return x.square().mean().sqrt()
