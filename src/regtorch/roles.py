"""The role of a weight, told by its owner's type: norm, embedding, bias, kernel, or other.

The roles are a partition, decided in that order: a BatchNorm's bias is norm.
"""

from __future__ import annotations

import re
from typing import Literal, get_args

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

__all__ = ["ORDER", "Role", "role_of"]

Role = Literal["norm", "embedding", "bias", "kernel", "other"]
ORDER: tuple[Role, ...] = get_args(Role)

_NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
_EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
_LAYERS = (nn.Linear, nn.Bilinear, _ConvNd, nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention)
# Other libraries' classes: LlamaRMSNorm, LayerNorm2d, BatchNormAct2d; not NormalizedLinear.
_NORM_NAME = re.compile(r"Norm(?![a-z])")
_EMBEDDING_NAME = re.compile(r"Embeddings?$")

# Words of a parameter's own name, which decide where no layer of torch's owns it.
_BIAS = {"bias", "biases"}
_TOKEN = {"token", "tokens", "latent", "latents", "probe"}
_EMBEDDING = {"emb", "embed", "embeds", "embedding", "embeddings"}
_POSITION = {"pos", "position", "positions", "positional"}
_SCALE = {"scale", "scales", "gamma", "gammas", "temperature", "log", "logs"}  # log: A_log, the logarithm of a decay
_KERNEL = {"weight", "weights", "kernel", "kernels"}


def role_of(owner: nn.Module, name: str, w: Tensor) -> Role:
    """The role of weight `w`, whose dotted name is `name`.

    Kernels are weights of two dims or more that are nothing else; "other" are the rest: slopes, scales, temperatures.
    Where no layer of torch's owns a weight, its name tells tokens, positions and scales; a bare parameter with at most
    one dim longer than 1 is a kernel only if its name says so, as the weight of a layer with one unit.
    """
    kind = type(owner).__name__
    words = set(_own_name(owner, name).lower().split("_"))
    if isinstance(owner, _NORMS) or (_NORM_NAME.search(kind) and _is_vector(w)):
        return "norm"
    if isinstance(owner, _EMBEDDINGS):  # T5's relative_attention_bias is an Embedding
        return "bias" if _BIAS & set(name.split(".")[-2:][0].split("_")) else "embedding"
    if isinstance(owner, _LAYERS):
        return "bias" if _BIAS & words else "kernel" if w.ndim >= 2 else "other"
    if _EMBEDDING_NAME.search(kind) or ((_TOKEN | _EMBEDDING | _POSITION) & words and not _BIAS & words):
        return "embedding"
    if _BIAS & words:
        return "bias"
    if kind == "PReLU" or _SCALE & words:  # a PReLU's slopes may have the shape of a map
        return "other"
    return "kernel" if w.ndim >= 2 and (_KERNEL & words or not _is_vector(w)) else "other"


def _is_vector(w: Tensor) -> bool:
    """At most one dim is longer than 1; a norm-like name alone must not hide a matrix."""
    return sum(size > 1 for size in w.shape) <= 1


def _own_name(owner: nn.Module, name: str) -> str:
    """The attribute; in a ParameterList or ParameterDict the container's name, as the attribute is an index or key."""
    parts = name.split(".")
    if isinstance(owner, nn.ParameterList | nn.ParameterDict):
        return "_".join(parts[-2:])
    return parts[-1]
