"""The role of a weight, told by its owner's type: norm, embedding, bias, kernel, or other.

The roles are a partition, decided in that order: a BatchNorm's bias is norm.
"""

from __future__ import annotations

import re
from typing import Literal, get_args

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

__all__ = ["ORDER", "Role", "role_of"]

Role = Literal["norm", "embedding", "bias", "kernel", "other"]
ORDER: tuple[Role, ...] = get_args(Role)

_NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
_EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
# Other libraries' classes: LlamaRMSNorm, LayerNorm2d, BatchNormAct2d; not NormalizedLinear.
_NORM_NAME = re.compile(r"Norm(?![a-z])")
_EMBEDDING_NAME = re.compile(r"Embeddings?$")
_BIASES = {"bias", "biases"}


def role_of(owner: nn.Module, name: str, w: Tensor) -> Role:
    """The role of weight `w`, whose dotted name is `name`.

    Kernels are weights of two dims or more that are nothing else; "other" are the rest (a PReLU's slope, a scale).
    """
    kind = type(owner).__name__
    if isinstance(owner, _NORMS) or (_NORM_NAME.search(kind) and _is_vector(w)):
        return "norm"
    if isinstance(owner, _EMBEDDINGS) or _EMBEDDING_NAME.search(kind):
        return "embedding"
    if kind == "PReLU":  # its slopes may have the shape of a map
        return "other"
    if _BIASES & set(_own_name(owner, name).split("_")):
        return "bias"
    return "kernel" if w.ndim >= 2 else "other"


def _is_vector(w: Tensor) -> bool:
    """At most one dim is longer than 1; a norm-like name alone must not hide a matrix."""
    return sum(size > 1 for size in w.shape) <= 1


def _own_name(owner: nn.Module, name: str) -> str:
    """The attribute; in a ParameterList or ParameterDict the container's name, as the attribute is an index or key."""
    parts = name.split(".")
    if isinstance(owner, nn.ParameterList | nn.ParameterDict):
        return "_".join(parts[-2:])
    return parts[-1]
