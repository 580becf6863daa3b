"""The dims of a weight that hold its output units, by its owner's type; conversion to units first and back."""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from regtorch.select.roles import Role

__all__ = ["Layout", "layout_of", "own_parameter"]


@dataclass(frozen=True)
class Layout:
    """The dims of a stored weight that hold its output units; all other dims make up one unit.

    Attributes:
        dims: these dims; None if unknown.
        groups: of a transposed convolution, whose units are in (groups, dim 1); 0 for any other weight.
    """

    dims: tuple[int, ...] | None = (0,)
    groups: int = 0

    def __str__(self) -> str:
        if self.dims is None:
            return "units unknown"
        return f"unit dim{'s' * (len(self.dims) > 1)} {', '.join(map(str, (1,) if self.groups else self.dims))}"

    @property
    def is_view(self) -> bool:
        """Whether the units-first tensor is a view, so that in-place changes reach the weight."""
        return self.groups <= 1 and self.dims is not None and len(self.dims) == 1

    def units_first(self, w: Tensor) -> Tensor:
        """From the stored layout to (units, ...)."""
        dims = self.dims
        if (dims == (0,) and not self.groups) or dims is None or w.ndim < 2:
            return w
        if self.groups:
            w, dims = w.unflatten(0, (self.groups, -1)), (0, 2)
        w = w.movedim(dims, tuple(range(len(dims))))
        return w.flatten(0, len(dims) - 1) if len(dims) > 1 else w

    def stored(self, u: Tensor, shape: torch.Size) -> Tensor:
        """The inverse of `units_first`, to a weight of `shape`."""
        dims = self.dims
        if (dims == (0,) and not self.groups) or dims is None or len(shape) < 2:
            return u
        sizes = [shape[d] for d in dims]
        if self.groups:
            sizes, dims = [self.groups, shape[1]], (0, 2)
        if len(dims) > 1:
            u = u.unflatten(0, sizes)
        u = u.movedim(tuple(range(len(dims))), dims)
        return u.flatten(0, 1) if self.groups else u


_LAYERS = (nn.Linear, nn.Bilinear, _ConvNd, nn.RNNBase, nn.MultiheadAttention, _NormBase, nn.LayerNorm)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_KNOWN = re.compile(r"(conv_?|recurrent_?)?(weight|kernel|filter)s?_?\d*")  # of a custom convolution
_EXPERTS = ("gate_up_proj", "down_proj", "up_proj", "gate_proj")
_STANDARD, _INPUTS_FIRST = (0, 1), (0, 2)  # of experts

# Weights of other libraries' classes with another layout than torch's: their ndim, and the dims of their units.
_OTHERS: dict[str, dict[str, tuple[int, tuple[int, ...] | None]]] = {
    "Conv1D": {"weight": (2, (1,))},  # Hugging Face's, of GPT-2: (inputs, units)
    "GraphConvolution": {"weight": (2, (1,))},  # pygcn's
    "GraphConv": {"weight": (2, (1,))},  # DGL's
    "CLIP": {"text_projection": (2, (1,))},
    "TextTransformer": {"text_projection": (2, (1,))},
    "VisionTransformer": {"proj": (2, (1,))},  # CLIP's
    "XCLIPModel": {"prompts_visual_projection": (2, (1,))},
    "OmDetTurboLanguageBackbone": {"text_projection": (2, (1,))},
    "Gemma3MultiModalProjector": {"mm_input_projection_weight": (2, (1,))},
    "T5Gemma2MultiModalProjector": {"mm_input_projection_weight": (2, (1,))},
    "CondConv2d": {"weight": (2, None)},  # timm's: (experts, all numbers of one)
    # (inputs, heads, units), and o the other way round
    "XLNetRelativeAttention": {**dict.fromkeys("qkvr", (3, (1, 2))), "o": (3, (0,))},
    "MixtralExperts": dict.fromkeys(_EXPERTS, (3, _STANDARD)),
    "InklingSharedExperts": dict.fromkeys(_EXPERTS, (3, _STANDARD)),
    "GptOssExperts": dict.fromkeys(_EXPERTS, (3, _INPUTS_FIRST)),
    "Llama4TextExperts": dict.fromkeys(_EXPERTS, (3, _INPUTS_FIRST)),
    "JetMoeParallelExperts": {"weight": (3, _STANDARD)},
    "GraniteMoeParallelExperts": {"weight": (3, _STANDARD)},
    "CsmCodebooksHead": {"weight": (3, _INPUTS_FIRST)},
    "RecurrentGemmaRglru": dict.fromkeys(("input_gate_weight", "recurrent_gate_weight"), (3, _INPUTS_FIRST)),
    "ZambaMambaMixer": dict.fromkeys(("x_proj_weight", "dt_proj_weight"), (3, _STANDARD)),
}


def layout_of(owner: nn.Module, attribute: str, w: Tensor, role: Role) -> Layout:
    """The layout of a weight: units in dim 0, as in torch's own layers, unless the owner's type has another layout.

    A vector is one unit, whatever its ndim; the units of a bare position table are its vectors. For any other bare
    parameter with at least three dims in a custom module the layout is unknown.
    """
    if isinstance(owner, _TRANSPOSED) and attribute == "weight" and w.ndim > 2:
        return Layout(groups=int(owner.groups))
    if isinstance(owner, _LAYERS) and "weight" in attribute:
        return Layout()
    for kind in type(owner).__mro__:
        ndim, dims = _OTHERS.get(kind.__name__, {}).get(attribute, (-1, None))
        if w.ndim == ndim:
            return Layout(_of_experts(owner) or dims)
    if attribute in _EXPERTS and w.ndim == 3 and type(owner).__name__.endswith("Experts"):
        return Layout(_of_experts(owner))
    if w.ndim < 2 or (w.ndim == 2 and _KNOWN.fullmatch(attribute)):
        return Layout()
    long = [d for d, size in enumerate(w.shape) if size > 1]
    if len(long) < 2:
        return Layout((min(set(range(w.ndim)) - set(long)),))
    if w.ndim == 2 or isinstance(owner, _LAYERS) or _KNOWN.fullmatch(attribute):
        return Layout()
    if role == "embedding" and len(long) == 2 and long[-1] == w.ndim - 1:
        return Layout(tuple(range(w.ndim - 1)))
    return Layout(None)


def own_parameter(module: nn.Module, name: str) -> nn.Parameter | None:
    """A module's parameter; scripted modules keep theirs in a mapping without `get`."""
    parameters = module._parameters
    if name not in parameters:
        return None
    return parameters[name]


def _of_experts(owner: nn.Module) -> tuple[int, ...] | None:
    """The layout of (experts, ...) by Hugging Face's `is_transposed`, or by the shapes of two of the weights."""
    transposed = getattr(owner, "is_transposed", None)
    if isinstance(transposed, bool):
        return _INPUTS_FIRST if transposed else _STANDARD
    up, down = (own_parameter(owner, name) for name in ("gate_up_proj", "down_proj"))
    if up is None or down is None or up.ndim != 3 or down.ndim != 3:
        return None
    a, b = up.shape[1:]
    c, d = down.shape[1:]
    if (a, b) == (2 * d, c):
        return _STANDARD
    return _INPUTS_FIRST if (a, b) == (d, 2 * c) else None
