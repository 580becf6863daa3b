"""Operations of `keras.ops` that are layers without variables: norms, pools, attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from regtorch.keras.layers import pooling
from regtorch.keras.layers.operations.operation import Make, of_floats, operation
from regtorch.keras.spec import Spec

__all__ = ["NETWORKS"]

_EPSILON = 1e-7  # Keras's default


def _along(weight: Tensor | None, x: Tensor, axes: Sequence[int]) -> Tensor | None:
    """A weight for these axes of `x`, with dims of one for the others."""
    if weight is None:
        return None
    kept = {axis % x.ndim for axis in axes}
    return weight.to(x.device, x.dtype).reshape([n if dim in kept else 1 for dim, n in enumerate(x.shape)])


def _axes(axis: int | Sequence[int]) -> list[int]:
    return [axis] if isinstance(axis, int) else list(axis)


def _layer_norm(
    x: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    axis: int | Sequence[int] = -1,
    epsilon: float | None = None,
    rms_scaling: bool = False,
) -> Tensor:
    if rms_scaling:
        raise ValueError("rms_scaling=True is not supported; use keras.ops.rms_normalization")
    axes = _axes(axis)
    centred = x - x.mean(axes, keepdim=True)
    y = centred * (centred.square().mean(axes, keepdim=True) + (epsilon or _EPSILON)).rsqrt()
    scale, shift = (_along(weight, x, axes) for weight in (gamma, beta))
    y = y if scale is None else y * scale
    return y if shift is None else y + shift


def _rms_norm(
    x: Tensor, scale: Tensor | None = None, axis: int | Sequence[int] = -1, epsilon: float | None = None
) -> Tensor:
    axes = _axes(axis)
    y = x * (x.square().mean(axes, keepdim=True) + (epsilon or _EPSILON)).rsqrt()
    weight = _along(scale, x, axes)
    return y if weight is None else y * weight


def _batch_norm(
    x: Tensor,
    mean: Tensor,
    variance: Tensor,
    offset: Tensor | None = None,
    scale: Tensor | None = None,
    *,
    axis: int,
    epsilon: float = 1e-3,
) -> Tensor:
    centre, spread, shift, factor = (_along(w, x, [axis]) for w in (mean, variance, offset, scale))
    assert centre is not None
    assert spread is not None
    y = (x - centre) * (spread + epsilon).rsqrt()
    y = y if factor is None else y * factor
    return y if shift is None else y + shift


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None = None,
    mask: Tensor | None = None,
    scale: float | None = None,
    *,
    is_causal: bool = False,
    flash_attention: bool | None = None,
    attn_logits_soft_cap: float | None = None,
) -> Tensor:
    """Of (batch, steps, heads, size); `flash_attention` is a way to compute the same."""
    scores = torch.einsum("bqhd,bkhd->bhqk", query, key) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if attn_logits_soft_cap is not None:
        scores = attn_logits_soft_cap * (scores / attn_logits_soft_cap).tanh()
    scores = scores if bias is None else scores + bias
    counts = None if mask is None else mask.bool()
    if is_causal:
        causal = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        counts = causal if counts is None else counts & causal
    if counts is not None:
        scores = scores.masked_fill(~counts, -torch.inf)
    return torch.einsum("bhqk,bkhd->bqhd", scores.softmax(-1), value)


def _pool(kind: str, spec: Spec) -> nn.Module:
    dims = len(spec.shape) - 2
    if not 1 <= dims <= 3:
        raise ValueError(f"it takes an input of 3 to 5 dims, batch included, received {spec.shape}")
    return getattr(pooling, f"{kind}Pooling{dims}D")(spec)


_SETTINGS = {
    "LayerNorm": (_layer_norm, "axis", "epsilon", "rms_scaling"),
    "RMSNorm": (_rms_norm, "axis", "epsilon"),
    "BatchNorm": (_batch_norm, "axis", "epsilon"),
    "DotProductAttention": (_attention, "is_causal", "flash_attention", "attn_logits_soft_cap"),
}

NETWORKS: Mapping[str, Make] = {
    **{name: operation(partial(of_floats, f), *settings) for name, (f, *settings) in _SETTINGS.items()},
    "MaxPool": partial(_pool, "Max"),
    "AveragePool": partial(_pool, "Average"),
}
