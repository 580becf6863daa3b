"""The role of a weight by its owner's type: norm, embedding, bias, kernel, or other.

Every weight has exactly one role, the first that applies in this order: a BatchNorm's bias is norm.
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
_EMBEDDING_NAME = re.compile(r"(?<!Patch)Embeddings?$")  # a patch's is a projection

# Words in a parameter's name, which decide if its owner is not one of torch's layers.
_BIAS = {"bias", "biases"}
_TOKEN = {"token", "tokens", "latent", "latents", "probe", "queries", "prompts"}
_EMBEDDING = {"emb", "embs", "embed", "embeds", "embedding", "embeddings"}
_POSITION = {"pos", "position", "positions", "positional", "rel", "pe", "ape"}
_ONE_OF_A_BATCH = {"query", "prompt", "cls"}  # tokens if shaped for a batch, (1, ...)
_SCALE = {"scale", "scales", "gamma", "gammas", "temperature", "log", "logs", "freqs"}  # log: A_log, of a decay
_KERNEL = {"weight", "weights", "kernel", "kernels"}
_PRODUCT = {"proj", "projection", "matrix", *_KERNEL}
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def role_of(owner: nn.Module, name: str, w: Tensor) -> Role:
    """The role of weight `w` with dotted name `name`.

    Kernels are all remaining weights with at least two dims; "other" is the rest: slopes, scales, temperatures. Outside
    torch's layers the name identifies tokens, positions and scales; a parameter with at most one dim longer than 1 is a
    kernel only if it has two dims and is named like one, as the weight of a layer with one unit.
    """
    kind, own = type(owner).__name__, _own_name(owner, name)
    words = {word.lower() for word in _WORD.findall(own)}
    if isinstance(owner, _LAYERS) and "weight" in words:
        return "kernel" if w.ndim >= 2 else "other"
    if isinstance(owner, _NORMS) or _is_norm(owner, w):
        return "norm"
    if isinstance(owner, _EMBEDDINGS):  # T5's relative_attention_bias is an Embedding
        return "bias" if _BIAS & set(name.split(".")[-2:][0].split("_")) else "embedding"
    if _is_embedding(kind, words, w):
        return "embedding"
    if _BIAS & words:
        return "bias"
    # A PReLU's slopes may have the shape of a map; D lets a state space's inputs skip it.
    if kind == "PReLU" or _SCALE & words or (own == "D" and "A_log" in owner._parameters):
        return "other"
    return "kernel" if w.ndim >= 2 and ((_KERNEL & words and w.ndim == 2) or not _is_vector(w)) else "other"


def _is_norm(owner: nn.Module, w: Tensor) -> bool:
    """Whether the class is named like a norm and holds no matrix, unlike layers with such a name."""
    if not _NORM_NAME.search(type(owner).__name__) or isinstance(owner, _LAYERS):
        return False
    return all(_is_vector(p) for p in (w, *owner._parameters.values()) if p is not None)


def _is_embedding(kind: str, words: set[str], w: Tensor) -> bool:
    """Whether it is an embedding table, a token or a position: looked up or added, not multiplied."""
    if _SCALE & words or (_BIAS & words and len(words) > 1):  # a position bias is a bias
        return False
    if _EMBEDDING_NAME.search(kind) and not words & (_PRODUCT - _KERNEL):
        return True
    named = (_TOKEN | _EMBEDDING | _POSITION) & words or (_ONE_OF_A_BATCH & words and w.ndim > 2 and w.shape[0] == 1)
    return bool(named) and not words & (_PRODUCT | _BIAS)


def _is_vector(w: Tensor) -> bool:
    """Whether at most one dim is longer than 1."""
    return sum(size > 1 for size in w.shape) <= 1


def _own_name(owner: nn.Module, name: str) -> str:
    """The attribute's name; in a ParameterList or ParameterDict with the container's name before the index or key."""
    parts = name.split(".")
    if isinstance(owner, nn.ParameterList | nn.ParameterDict):
        return "_".join(parts[-2:])
    return parts[-1]
