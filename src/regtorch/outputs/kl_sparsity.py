"""The sparse autoencoder's penalty, which keeps units mostly inactive."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from regtorch.checks import share
from regtorch.outputs.output_rule import OutputPenalty, check_outputs
from regtorch.penalties.base import zero
from regtorch.shapes import Float

__all__ = ["KLSparsity"]


class KLSparsity(OutputPenalty):
    """λ Σ_j KL(ρ‖ρ̂_j), KL(ρ‖ρ̂) = ρ log(ρ/ρ̂) + (1−ρ) log((1−ρ)/(1−ρ̂)), ρ̂_j a unit's mean over the batch.

    Every element of a sample is a unit. Activations must lie in [0, 1], as a sigmoid's do. A mean of exactly 0 or 1 is
    moved inside by the smallest normal number, so the value is finite; it has no gradient there.

    Args:
        rho: the desired mean activation ρ, between 0 and 1.
        lam: the strength λ, in units of loss per nat (β in the lecture notes, where it is 3).

    Raises:
        TypeError: `rho` or `lam` is not a number, or the activations are not a real floating-point tensor.
        ValueError: `rho` is not between 0 and 1, `lam` is negative, infinite or NaN, or activations lie outside [0, 1].

    Source: Ng 2011, "Sparse autoencoder" (CS294A lecture notes); compared with dropout in Srivastava et al. 2014.

    Example:
        >>> import torch, regtorch as rt
        >>> rt.KLSparsity(0.05, 1.0)(torch.tensor([[0.0, 0.05], [1.0, 0.05]]))
        tensor(0.4946)
        >>> net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Sigmoid(), torch.nn.Linear(8, 4))
        >>> reg = rt.Activity(rt.KLSparsity(0.05, 3.0), select="type:Sigmoid").on(net)
        >>> loss = net(torch.ones(2, 4)).square().mean() + reg()
    """

    rho: float = 0.05
    lam: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(rho=share(self.name, "rho", self.rho, "0.05 is usual"))

    def __call__(self, output: Float[Tensor, "batch *units"]) -> Float[Tensor, ""]:
        """The value; exactly 0 at strength 0 and for an empty batch."""
        a = check_outputs(self.name, "activations", output)
        if not self.active or not a.numel():
            return zero(a)
        self._check(a)
        mean, tiny = a.mean(0), torch.finfo(a.dtype).tiny
        rho = self.rho
        on = math.log(rho) - mean.clamp(min=tiny).log()
        off = math.log1p(-rho) - (1 - mean).clamp(min=tiny).log()
        return self.lam * (rho * on + (1 - rho) * off).sum()

    def _check(self, a: Tensor) -> None:
        low, high = a.detach().aminmax()  # NaN passes and shows in the value
        if low < 0 or high > 1:
            raise ValueError(
                f"{self.name}: activations must lie in [0, 1], received {low.item():.4g} to {high.item():.4g}; "
                "give outputs of a sigmoid"
            )
