"""Batch renormalization with Keras's moving statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from regtorch.keras.batch_norm import BatchNorm
from regtorch.keras.variables import Variable, held

__all__ = ["BatchRenorm"]


class BatchRenorm(BatchNorm):
    """Keras 3's `BatchNormalization(renorm=True)`.

    In training the batch's statistics are corrected towards moving ones by r = σ / σ_moving and d = (μ - μ_moving) /
    σ_moving, which have no gradient.

    Args:
        rate: weight of the new value in the statistics that correct, 1 - Keras's renorm_momentum.
        limits: Keras's renorm_clipping: rmin, rmax, dmax.
        settings: of BatchNorm.
    """

    moving_stddev: Tensor
    renorm_mean: Tensor
    renorm_stddev: Tensor

    def __init__(self, *, rate: float, limits: Mapping[str, float], **settings: Any) -> None:
        super().__init__(**settings)
        self.rate, self.limits = rate, dict(limits)
        for name in ("moving_stddev", "renorm_mean", "renorm_stddev"):
            self.register_buffer(name, torch.empty(self.num_features))

    def keras_variables(self) -> list[Variable]:
        names = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
        shape = (self.num_features,)
        own = [Variable(name, attribute, shape, (0,)) for attribute, name in names.items()]
        own = [variable for variable in own if variable.read(self) is not None]
        return [*own, *held(self, moving_stddev="ones", renorm_mean="zeros", renorm_stddev="ones")]

    def forward(self, input: Tensor, masks: Sequence[Tensor | None] = ()) -> Tensor:
        """Normalise, and in training update the moving statistics."""
        if not (self.training and self.trainable and input.numel()):
            return super().forward(input)
        if masks and masks[0] is not None:
            raise ValueError("a mask is not supported with renorm=True")
        x = input.movedim(self.dim, 1)
        dims = [0, *range(2, x.ndim)]
        shape = [1, -1, *[1] * (x.ndim - 2)]
        var, mean = torch.var_mean(x, dims, correction=0)
        r, d = self._corrections(mean.detach(), (var.detach() + self.eps).sqrt())
        y = (x - mean.view(shape)) * ((var + self.eps).rsqrt() * r).view(shape) + d.view(shape)
        y = y if self.weight is None else y * self.weight.view(shape)
        y = y if self.bias is None else y + self.bias.view(shape)
        self._renew(mean.detach(), (var.detach() + self.eps).sqrt())
        return y.movedim(1, self.dim)

    def _corrections(self, mean: Tensor, deviation: Tensor) -> tuple[Tensor, Tensor]:
        moving = self.renorm_stddev.clamp(min=self.eps**0.5)
        most = self.limits.get("dmax")
        r = (deviation / moving).clamp(self.limits.get("rmin"), self.limits.get("rmax", torch.inf))
        d = (mean - self.renorm_mean) / moving
        return r, d if most is None else d.clamp(-most, most)

    @torch.no_grad()
    def _renew(self, mean: Tensor, deviation: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        self.renorm_mean.lerp_(mean, self.rate)
        self.renorm_stddev.lerp_(deviation, self.rate)
        self.running_mean.lerp_(mean, self._rate())
        self.moving_stddev.lerp_(deviation, self._rate())
        self.running_var.copy_((self.moving_stddev.square() - self.eps).clamp(min=0))
