"""Attention and AdditiveAttention, which have no projections."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from regtorch.keras.masks import Masks
from regtorch.keras.spec import Spec
from regtorch.keras.variables import Variable, held

__all__ = ["AdditiveAttention", "Attention"]


class Attention(nn.Module):
    """Keras's Attention on query, value and perhaps key."""

    takes_masks = True
    keras_order = True

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        if not 2 <= len(spec.shapes) <= 3:
            raise ValueError(f"it takes a query, a value and perhaps a key, received {len(spec.shapes)} inputs")
        self.axes = spec.axes
        self.dropout = nn.Dropout(spec.number("dropout", 0.0, 0.0, 1.0))
        self.scale: nn.Parameter | None = None
        self.concat_score_weight: nn.Parameter | None = None
        self.settings(spec)

    def settings(self, spec: Spec) -> None:
        """Read how the scores are computed."""
        if spec.flag("use_scale", False):
            self.scale = nn.Parameter(torch.empty(()))
        if spec.one_of("score_mode", {"dot": False, "concat": True}, "dot"):
            self.concat_score_weight = nn.Parameter(torch.empty(()))

    def keras_variables(self) -> list[Variable]:
        return held(self, scale="ones", concat_score_weight="ones")

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        """(…, query's steps, key's steps)."""
        if self.concat_score_weight is None:
            scores = query @ key.mT
            return scores if self.scale is None else scores * self.scale
        total = query.unsqueeze(-2) + key.unsqueeze(-3)
        return self.concat_score_weight * (total if self.scale is None else self.scale * total).tanh().sum(-1)

    def forward(
        self,
        query: Tensor,
        value: Tensor,
        key: Tensor | None = None,
        *,
        masks: Masks = (),
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        q, v, k = (self.axes.to_keras(x) for x in (query, value, value if key is None else key))
        query_mask, value_mask = [*masks, None, None][:2]
        scores = self.scores(q, k)
        mask = value_mask
        if use_causal_mask:
            mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()[None]
            mask = mask if value_mask is None else value_mask.unsqueeze(-2) & mask
        if mask is not None:
            mask = mask.unsqueeze(-2) if mask.ndim == 2 else mask
            scores = torch.where(mask, scores, scores - (65504.0 if scores.dtype == torch.float16 else 1e9))
        weights = scores.softmax(-1)
        y = self.dropout(weights) @ v
        if query_mask is not None:
            y = torch.where(query_mask.unsqueeze(-1), y, 0.0)
        y = self.axes.from_keras(y)
        return (y, self.axes.from_keras(weights)) if return_attention_scores else y

    def output_masks(self, masks: Masks, *inputs: Tensor) -> Masks:
        return [masks[0] if masks else None, None]  # scores have none


class AdditiveAttention(Attention):
    """Keras's AdditiveAttention: scores are Σ scale · tanh(query + key)."""

    def settings(self, spec: Spec) -> None:
        if spec.flag("use_scale", True):
            self.scale = nn.Parameter(torch.empty(spec.keras_shapes[0][-1]))

    def keras_variables(self) -> list[Variable]:
        return held(self, scale="glorot_uniform")

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        total = (query.unsqueeze(-2) + key.unsqueeze(-3)).tanh()
        return (total if self.scale is None else self.scale * total).sum(-1)
