"""Batch norm with Keras's moving averages."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _NormBase

from regtorch.checks import nonnegative, number, one_of
from regtorch.keras.dtypes import as_floats
from regtorch.keras.rounding import round_to_float32
from regtorch.shapes import Float

__all__ = ["BatchNorm"]

_LEAST_FUSED_EPS = 1.001e-5  # the least that TensorFlow's fused kernel accepts


class BatchNorm(_NormBase):  # not _BatchNorm, which SyncBatchNorm would replace by torch's own
    """Keras's `BatchNormalization` on inputs with any number of dims.

    Outputs are torch's. The moving variance differs: torch keeps the unbiased one (Σ(x-x̄)² / (n-1)), Keras the biased
    one (/ n), except that Keras 2 uses a fused kernel for float32, float16 and bfloat16 images and volumes, which
    keeps the unbiased one. `version=2` follows Keras 2 in this and in rounding 1 - momentum to float32, so that
    float64 runs agree to the last digits; `version=3` follows Keras 3.

    Args:
        num_features: channels.
        eps: ε (Keras's epsilon).
        momentum: weight of the new value, as in torch: 1 - Keras's momentum.
        dim: the channel dim.
        scale: whether there is a gamma (`weight`).
        center: whether there is a beta (`bias`).
        trainable: False freezes the layer as in Keras: in training too it uses the moving averages and keeps them.
        version: 2 or 3, the version of Keras to follow.

    Raises:
        TypeError: `eps` or `momentum` is not a number.
        ValueError: `eps` is negative, `momentum` lies outside 0 to 1, or `version` is neither 2 nor 3.

    Example:
        >>> import torch, regtorch as rt
        >>> norm = rt.keras.BatchNorm(1, momentum=1.0)
        >>> _ = norm(torch.tensor([[1.0], [3.0]]))
        >>> norm.running_var  # torch's own keeps 2
        tensor([1.])
    """

    takes_masks = True
    keras_order = False  # `from_config` sets it to True for the layers of its nets
    fused = True  # whether Keras 2 takes its fused kernel where it can

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-3,
        momentum: float = 0.01,
        *,
        dim: int = 1,
        scale: bool = True,
        center: bool = True,
        trainable: bool = True,
        version: int = 3,
    ) -> None:
        one_of("BatchNorm", "version", version, (2, 3), "it is the version of Keras")
        eps = nonnegative("BatchNorm", "eps", eps, "Keras's is 0.001")
        momentum = number("BatchNorm", "momentum", momentum, "give the weight of the new value", low=0, high=1)
        super().__init__(num_features, eps, momentum)
        self.dim, self.trainable, self.version = dim, trainable, version
        if not scale:
            self.register_parameter("weight", None)
        if not center:
            self.register_parameter("bias", None)

    def forward(
        self, input: Float[Tensor, "batch channels *size"], masks: Sequence[Tensor | None] = ()
    ) -> Float[Tensor, "batch channels *size"]:
        """Normalise, and in training update the moving averages.

        Args:
            input: the batch.
            masks: one mask (batch, *size) of the positions whose statistics count; Keras 2 ignores that of images.
        """
        assert self.running_mean is not None
        input = as_floats(input, self.running_mean.dtype)
        if input.is_meta:  # the shape alone, for which torch itself runs slow Python
            return torch.empty_like(input)
        fused = self.fused and self.version == 2 and input.ndim >= 4 and input.dtype != torch.float64
        mask = masks[0] if masks else None
        if input.ndim > 2 and self.dim == input.ndim - 1 and mask is None:  # a batch of vectors: torch's fast case
            return self._normalised(input.flatten(0, -2), None, fused=fused).view(input.shape)
        return self._normalised(input.movedim(self.dim, 1), mask, fused=fused).movedim(1, self.dim)

    def _normalised(self, x: Tensor, mask: Tensor | None, *, fused: bool) -> Tensor:
        """Normalise (batch, channels, …), and in training update the moving averages."""
        assert self.running_mean is not None
        assert self.running_var is not None
        eps = max(self.eps, _LEAST_FUSED_EPS) if fused else self.eps
        if not (self.training and self.trainable and x.numel()):
            averages = self.running_mean, self.running_var
            if torch.is_grad_enabled():  # a later call in training mode may update them before the backward pass
                averages = averages[0].clone(), averages[1].clone()
            return F.batch_norm(x, *averages, self.weight, self.bias, eps=eps)
        if mask is not None and not fused:
            return self._masked(x, mask)
        mean, var = torch.zeros_like(self.running_mean), torch.zeros_like(self.running_var)
        count = x.numel() // x.shape[1]
        if count > 1:
            # With a momentum of 1 the "running" statistics are this batch's; no second pass computes them.
            y = F.batch_norm(x, mean, var, self.weight, self.bias, training=True, momentum=1.0, eps=eps)
            if not fused:
                var = var * ((count - 1) / count)  # not in place: the backward pass reads it
        else:  # torch refuses a single value; in Keras it equals its mean, so the output is beta and the gradient 0
            y = F.batch_norm(x - x, mean, var, self.weight, self.bias, eps=eps)
            mean = x.detach().reshape(-1).to(mean.dtype)
        self._update(mean, var)
        return y

    def _masked(self, x: Tensor, mask: Tensor) -> Tensor:
        """Normalise by the statistics of the positions that count, divided by their number, in Keras 3 + 1e-7."""
        dims = [0, *range(2, x.ndim)]
        kept = mask.bool().unsqueeze(1)
        count = kept.expand_as(x).sum(dims, keepdim=True, dtype=x.dtype) + (1e-7 if self.version == 3 else 0.0)
        mean = torch.where(kept, x, 0).sum(dims, keepdim=True) / count
        var = torch.where(kept, x - mean, 0).square().sum(dims, keepdim=True) / count
        self._update(mean.detach().flatten(), var.detach().flatten())
        y = (x - mean) * (var + self.eps).rsqrt()
        shape = mean.shape
        y = y if self.weight is None else y * self.weight.view(shape)
        return y if self.bias is None else y + self.bias.view(shape)

    @torch.no_grad()
    def _update(self, mean: Tensor, var: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        rate = self._rate()
        self.running_mean.lerp_(mean, rate)
        self.running_var.lerp_(var, rate)

    def _rate(self) -> float:
        assert self.momentum is not None
        return round_to_float32(self.momentum) if self.version == 2 else self.momentum

    def extra_repr(self) -> str:
        """The settings that identify the layer."""
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, version={self.version}"
