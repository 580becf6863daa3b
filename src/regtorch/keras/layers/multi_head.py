"""Attention of several heads, with projections of query, key and value."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from string import ascii_lowercase
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regtorch.checks import shown
from regtorch.keras.layers.einsum_dense import Projection
from regtorch.keras.masks import Masks
from regtorch.keras.quantity import is_size
from regtorch.keras.spec import Spec

__all__ = ["GroupQueryAttention", "MultiHeadAttention"]

_SOFTMAX_MASKED = {torch.float16: -3e4}  # Keras's numbers for a score that does not count in its softmax layer,
_PRODUCT_MASKED = {torch.float16: -0.7 * 65500.0}  # and in its dot_product_attention
_GROUPS = {
    "query": "query_dense",
    "key": "key_dense",
    "gate": "gate_dense",
    "value": "value_dense",
    "attention_output": "output_dense",
}


class _Heads(nn.Module, ABC):
    """Projections, the mask of the scores, and attention in Keras's order of dims."""

    takes_masks = True
    keras_order = True
    penalized: tuple[str, ...] = ("query", "key", "value", "attention_output")
    takes_query_mask = True
    ndim: int
    scale: float

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        if not 2 <= len(spec.shapes) <= 3:
            raise ValueError(f"it takes a query, a value and perhaps a key, received {len(spec.shapes)} inputs")
        self.axes, self.version = spec.axes, spec.version
        self.shapes = spec.keras_shapes
        self.ndim = len(self.shapes[0])
        if any(len(shape) != self.ndim for shape in self.shapes) or self.ndim < 3:
            raise ValueError(f"its inputs must have one number of dims, 3 or more, received {spec.shapes}")
        self.window = None if spec.get("sliding_window") is None else spec.size("sliding_window")
        self.use_bias, self.gated = spec.flag("use_bias", True), spec.flag("use_gate", False)
        self.dropout = nn.Dropout(spec.number("dropout", 0.0, 0.0, 1.0))
        for key in ("flash_attention", "query_shape", "key_shape", "value_shape"):
            spec.get(key)  # a way to compute the same; the shapes of the inputs, which Keras 2 writes again

    def project(self, heads: tuple[int, int], value_heads: tuple[int, int], gate: tuple[int, int]) -> None:
        """Make the projections, each to (number of heads, size of a head)."""
        query, value = self.shapes[:2]
        key = self.shapes[2] if len(self.shapes) > 2 else value
        self.query = self._in(query, heads)
        self.key = self._in(key, (value_heads[0], heads[1]))
        if self.gated:
            self.gate = self._in(query, gate, nn.Sigmoid())
            self.penalized = (*self.penalized, "gate")
        self.value = self._in(value, value_heads)

    def _in(self, shape: Sequence[int], heads: tuple[int, int], activation: nn.Module | None = None) -> Projection:
        return _projection(shape, 1, heads, self.use_bias, activation or nn.Identity())

    def project_back(self, sizes: Sequence[int], heads: tuple[int, int]) -> None:
        """Make the projection of the heads to outputs."""
        shape = (*self.shapes[0][:-1], *heads)
        self.attention_output = _projection(shape, 2, sizes, self.use_bias, nn.Identity())

    def mask_of(
        self, query: Tensor, value: Tensor, steps: Sequence[Tensor | None], causal: bool, given: Tensor | None
    ) -> Tensor | None:
        """Which scores count: those of the steps that count, in the window, before the query's step, and `given`."""
        parts = [m.bool().unsqueeze(-1 if i == 0 else -2) for i, m in enumerate(steps) if m is not None]
        if causal:
            parts.append(torch.ones(query.shape[1], value.shape[1], dtype=torch.bool, device=query.device).tril()[None])
        if self.window is not None:
            i, j = (torch.arange(x.shape[1], device=x.device) for x in (query, value))
            parts.append(((i[:, None] - j).abs() < self.window)[None])
        mask = None if given is None else self.axes.to_keras(given.to(query.device))
        for part in parts:
            mask = part if mask is None else mask.bool() & part
        return mask

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool, scored: bool
    ) -> tuple[Tensor, Tensor | None]:
        """The heads' outputs, and the scores if they are wanted."""
        if query.ndim != 4 or scored or self.dropout.p or self.version == 2:
            return self.by_softmax(query, key, value, mask)
        if mask is not None:
            least = _PRODUCT_MASKED.get(query.dtype, -0.7 * 3.38953e38)
            mask = torch.where(_expanded(mask, 4, 1).bool(), 0.0, least).to(query.dtype)
        query, key, value = (x.transpose(1, 2) for x in (query, key, value))
        # The mask holds the causal one, if any; else torch takes the first steps of both for the same.
        y = F.scaled_dot_product_attention(query, key, value, mask, is_causal=causal and mask is None, scale=self.scale)
        return y.transpose(1, 2), None

    def by_softmax(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """The outputs and the scores of all pairs."""
        dot, combine, attended = self.equations(query.ndim)
        scores = torch.einsum(dot, query * self.scale, key)
        if mask is None:
            weights = _softmax(scores, attended)
        else:
            mask = _expanded(mask, scores.ndim, attended)
            least = _SOFTMAX_MASKED.get(scores.dtype, -1e9)
            if self.version == 2:
                weights = _softmax(scores + (1.0 - mask.to(scores.dtype)) * least, attended)
            else:
                mask = mask if mask.dtype == torch.bool else mask > 0.5
                weights = _softmax(torch.where(mask, scores, least), attended).where(mask, 0.0)
        return torch.einsum(combine, self.dropout(weights), value), weights

    def forward(
        self,
        query: Tensor,
        value: Tensor,
        key: Tensor | None = None,
        *,
        masks: Masks = (),
        query_mask: Tensor | None = None,
        value_mask: Tensor | None = None,
        key_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        """The outputs, with `return_attention_scores` the scores too."""
        given = (query_mask if self.takes_query_mask else None, value_mask, key_mask)
        steps = [own if mask is None else mask for own, mask in zip([*masks, None, None, None], given, strict=False)]
        q, v, k = (self.axes.to_keras(x) for x in (query, value, value if key is None else key))
        mask = self.mask_of(q, v, steps, use_causal_mask, self.counted(attention_mask))
        heads = self.query(q), self.shared(self.key(k)), self.shared(self.value(v))
        y, scores = self.attend(*heads, mask, use_causal_mask, return_attention_scores)
        y = self.axes.from_keras(self.attention_output(y * self.gate(q) if self.gated else y))
        return y if not return_attention_scores or scores is None else (y, self.axes.from_keras(scores))

    @abstractmethod
    def counted(self, mask: Tensor | None) -> Tensor | None:
        """The `attention_mask` of a call as it is compared."""

    @abstractmethod
    def shared(self, heads: Tensor) -> Tensor:
        """A key or value for each head of the query."""

    @abstractmethod
    def equations(self, ndim: int) -> tuple[str, str, int]:
        """The einsums of query and key to scores and of scores and value, and over how many dims one attends."""

    def output_masks(self, masks: Masks, *inputs: Tensor) -> Masks:
        return [masks[0] if masks else None, None]  # scores have none


class MultiHeadAttention(_Heads):
    """Keras's MultiHeadAttention."""

    keras_parts: Mapping[str, str] = _GROUPS | {"gate": "_gate_dense"}
    takes_query_mask = False  # Keras takes the one that the query has

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        heads, size = spec.size("num_heads"), spec.size("key_dim")
        out = spec.size("value_dim") if spec.get("value_dim") else size
        self.scale = size**-0.5
        given = spec.get("output_shape")
        sizes = [given] if type(given) is int else given or [self.shapes[0][-1]]
        if not (isinstance(sizes, list | tuple) and all(map(is_size, sizes))):
            raise ValueError(f"output_shape must be a size or several, received {shown(given)}")
        axes = range(1, self.ndim - 1) if spec.get("attention_axes") is None else spec.integers("attention_axes")
        self.attended = tuple(axis if axis >= 0 else self.ndim + axis for axis in axes)
        if not set(self.attended) <= set(range(1, self.ndim - 1)) or len(set(self.attended)) < len(self.attended):
            raise ValueError(f"attention_axes must name axes from 1 to {self.ndim - 2}, received {list(axes)}")
        self.project((heads, size), (heads, out), (heads, out))
        self.project_back(sizes, (heads, out))
        self.clears_masks = self.version == 3  # Keras 3 takes the masks off its inputs
        if self.version == 2:  # whose projections lose the activity regularizer
            self.penalized = ("",)

    def equations(self, ndim: int) -> tuple[str, str, int]:
        query = ascii_lowercase[:ndim]
        new = iter(ascii_lowercase[ndim:])
        key = "".join(next(new) if i in self.attended else letter for i, letter in enumerate(query))
        batch = [letter for i, letter in enumerate(query[:-1]) if i not in self.attended]
        scores = "".join([*batch, *(query[i] for i in self.attended), *(key[i] for i in self.attended)])
        return f"{query},{key}->{scores}", f"{scores},{key}->{query}", len(self.attended)

    def counted(self, mask: Tensor | None) -> Tensor | None:
        return None if mask is None else mask.bool()

    def shared(self, heads: Tensor) -> Tensor:
        return heads


class GroupQueryAttention(_Heads):
    """Keras's GroupQueryAttention: several heads of the query share one of key and value."""

    penalized = (*_Heads.penalized, "")
    keras_parts: Mapping[str, str] = {name: f"_{group}" for name, group in _GROUPS.items()}

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        if self.ndim != 3:
            raise ValueError(f"its inputs must have 3 dims, batch included, received {spec.shapes}")
        size, heads, shared = spec.size("head_dim"), spec.size("num_query_heads"), spec.size("num_key_value_heads")
        if heads % shared:
            raise ValueError(f"num_query_heads={heads} must be a multiple of num_key_value_heads={shared}")
        self.scale, self.repeats = size**-0.5, heads // shared
        self.project((heads, size), (shared, size), (heads, size))
        self.project_back([self.shapes[0][-1]], (heads, size))

    def equations(self, ndim: int) -> tuple[str, str, int]:
        return "bquh,bkuh->buqk", "buqk,bkuh->bquh", 1

    def counted(self, mask: Tensor | None) -> Tensor | None:
        return mask

    def shared(self, heads: Tensor) -> Tensor:
        return heads.repeat_interleave(self.repeats, dim=2)


def _projection(
    shape: Sequence[int], contracted: int, sizes: Sequence[int], bias: bool, activation: nn.Module
) -> Projection:
    """Project the last dims of a tensor to others."""
    free = len(shape) - contracted
    letters = ascii_lowercase[: len(shape) + len(sizes)]
    given, out = letters[: len(shape)], letters[len(shape) :]
    equation = f"{given},{given[free:]}{out}->{given[:free]}{out}"
    return Projection(equation, shape, [*[None] * (free - 1), *sizes], out if bias else None, activation)


def _expanded(mask: Tensor, ndim: int, attended: int) -> Tensor:
    """A mask with dims for the heads, before those over which one attends."""
    for _ in range(ndim - mask.ndim):
        mask = mask.unsqueeze(-2 * attended - 1)
    return mask


def _softmax(scores: Tensor, dims: int) -> Tensor:
    """Over the last dims together."""
    return scores.flatten(-dims).softmax(-1).view_as(scores)
