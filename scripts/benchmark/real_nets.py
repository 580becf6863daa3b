"""Well-known architectures with random weights, and a batch and a loss for each."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["REAL", "RealCase"]

_CLASSES, _WORDS, _LENGTH = 10, 1000, 64


@dataclass(frozen=True)
class RealCase:
    """An architecture: what makes it, and a batch with its loss."""

    name: str
    library: str
    make: Callable[[], nn.Module]
    loss: Callable[[nn.Module], Tensor]

    @property
    def is_here(self) -> bool:
        """Whether its library is installed."""
        return find_spec(self.library) is not None


def _vision(name: str, size: int, batch: int) -> RealCase:
    def make() -> nn.Module:
        return getattr(importlib.import_module("torchvision.models"), name)(num_classes=_CLASSES)

    def loss(net: nn.Module) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        device = next(net.parameters()).device
        x = torch.rand(batch, 3, size, size, generator=generator).to(device)
        return F.cross_entropy(net(x), torch.arange(batch, device=device) % _CLASSES)

    return RealCase(name, "torchvision", make, loss)


def _text(kind: str, config: str, settings: dict[str, Any]) -> RealCase:
    def make() -> nn.Module:
        library = importlib.import_module("transformers")
        return getattr(library, kind)(getattr(library, config)(**settings))

    def loss(net: nn.Module) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        device = next(net.parameters()).device
        words = torch.randint(4, _WORDS, (2, _LENGTH), generator=generator).to(device)
        return net(input_ids=words, labels=words).loss

    return RealCase(kind, "transformers", make, loss)


def _speech() -> RealCase:
    def make() -> nn.Module:
        library = importlib.import_module("transformers")
        sizes = {"encoder_layers": 4, "decoder_layers": 4, "d_model": 384, "vocab_size": _WORDS}
        heads = {"encoder_attention_heads": 6, "decoder_attention_heads": 6, "max_source_positions": 100}
        tokens = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 3}
        return library.WhisperForConditionalGeneration(library.WhisperConfig(**sizes, **heads, **tokens))

    def loss(net: nn.Module) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        device = next(net.parameters()).device
        sound = torch.rand(2, 80, 200, generator=generator).to(device)
        words = torch.randint(4, _WORDS, (2, 16), generator=generator).to(device)
        return net(input_features=sound, labels=words).loss

    return RealCase("WhisperForConditionalGeneration", "transformers", make, loss)


_DECODER = {"hidden_size": 512, "intermediate_size": 1024, "num_hidden_layers": 6, "num_attention_heads": 8}
REAL: Sequence[RealCase] = (
    _vision("resnet50", 64, 8),
    _vision("vit_b_16", 224, 2),
    _vision("convnext_tiny", 96, 4),
    _vision("swin_t", 96, 4),
    _vision("mobilenet_v3_large", 96, 8),
    _text("BertForMaskedLM", "BertConfig", {}),
    _text("GPT2LMHeadModel", "GPT2Config", {}),
    _text("T5ForConditionalGeneration", "T5Config", {"decoder_start_token_id": 0}),
    _text("LlamaForCausalLM", "LlamaConfig", {**_DECODER, "num_key_value_heads": 4, "vocab_size": _WORDS}),
    _text("MixtralForCausalLM", "MixtralConfig", {**_DECODER, "num_local_experts": 4, "vocab_size": _WORDS}),
    _speech(),
)
