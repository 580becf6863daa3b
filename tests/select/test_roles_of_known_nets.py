"""Roles beside timm's and Hugging Face's lists of what decays, on their own nets and torchvision's."""

from __future__ import annotations

import fnmatch
import importlib
import re
from typing import Any

import pytest
import torch
from torch import nn

from regtorch.select.weight import weights_of

pytestmark = pytest.mark.filterwarnings("ignore")

TIMM = [
    "resnet50",
    "vit_tiny_patch16_224",
    "deit_tiny_distilled_patch16_224",
    "eva02_tiny_patch14_224",
    "beit_base_patch16_224",
    "cait_xxs24_224",
    "coat_tiny",
    "volo_d1_224",
    "xcit_nano_12_p16_224",
    "hiera_tiny_224",
    "mvitv2_tiny",
    "nest_tiny",
    "pit_ti_224",
    "crossvit_tiny_240",
    "convnext_tiny",
    "swin_tiny_patch4_window7_224",
    "swinv2_tiny_window8_256",
    "mixer_b16_224",
    "maxvit_tiny_tf_224",
    "twins_svt_small",
    "edgenext_small",
    "fastvit_t8",
    "convmixer_768_32",
    "poolformer_s12",
    "caformer_s18",
    "levit_128",
    "regnety_004",
    "repvit_m1",
    "davit_tiny",
    "focalnet_tiny_srf",
    "gcvit_tiny",
    "tiny_vit_5m_224",
    "visformer_tiny",
    "vit_base_patch16_siglip_224",
    "samvit_base_patch16",
    "mobilenetv3_large_100",
    "efficientnet_b0",
    "naflexvit_base_patch16_gap",
    "resmlp_12_224",
    "gmlp_s16_224",
]
# Where timm decays what multiplies no input: its rule looks at dims and at each net's own list alone.
NOT_KERNELS = r"temperature|layer_scale\.gamma|pos_embed\d|latent|rel_pos_[hw]|norm\d?\.(alpha|beta)"
# Kernels that a net exempts for reasons of its own; the receipt shows its list.
EXEMPT = r"cpb_mlp|pos_block|token_projection"


@pytest.mark.parametrize("name", TIMM)
def test_kernels_are_what_timm_decays(name: str):
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        model = timm.create_model(name)
    listed = set(model.no_weight_decay()) if hasattr(model, "no_weight_decay") else set()
    parameters = dict(model.named_parameters())
    decayed = {n for n, p in parameters.items() if p.ndim > 1 and not n.endswith(".bias")}
    decayed -= {n for n in decayed if any(fnmatch.fnmatch(n, glob) for glob in listed)}
    kernels = {n for weight in weights_of(model) if weight.role == "kernel" for n in weight.names}
    kernels &= parameters.keys()  # a tied one has one name there
    assert kernels
    assert [n for n in kernels - decayed if not re.search(EXEMPT, n)] == []
    assert [n for n in decayed - kernels if not re.search(NOT_KERNELS, n)] == []


def hugging_face() -> dict[str, Any]:
    t = pytest.importorskip("transformers")
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    words = {**small, "vocab_size": 50}
    return {
        "bert": t.BertConfig(**words),
        "roberta": t.RobertaConfig(**words),
        "gpt2": t.GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=50, bos_token_id=0, eos_token_id=0),
        "t5": t.T5Config(d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, vocab_size=50),
        "vit": t.ViTConfig(**small),
        "beit": t.BeitConfig(**small, use_relative_position_bias=True),
        "dinov2": t.Dinov2Config(hidden_size=32, num_hidden_layers=2, num_attention_heads=4),
        "convnext": t.ConvNextConfig(),
        "swin": t.SwinConfig(depths=[1, 1], num_heads=[2, 2], embed_dim=16),
        "llama": t.LlamaConfig(**words, num_key_value_heads=2),
        "mixtral": t.MixtralConfig(**words, num_key_value_heads=2, num_local_experts=4),
        "gpt_oss": t.GptOssConfig(**words, num_key_value_heads=2, num_local_experts=4, head_dim=8),
        "mamba": t.MambaConfig(hidden_size=32, num_hidden_layers=2, vocab_size=50),
        "xlnet": t.XLNetConfig(d_model=32, n_layer=2, n_head=4, d_inner=64, vocab_size=50),
    }


# Where Hugging Face decays scales, sinks, Mamba's A_log and D, and a norm whose name its patterns miss.
DECAYED_SCALES = r"lambda_?\d|layer_scale|sinks|A_log|\.D$|norm_f"


@pytest.mark.parametrize(
    "name", ["bert", "roberta", "gpt2", "t5", "vit", "beit", "dinov2", "convnext", "swin", "llama"]
)
def test_kernels_and_embeddings_are_what_hugging_face_decays(name: str):
    compare(name)


@pytest.mark.parametrize("name", ["mixtral", "gpt_oss", "mamba", "xlnet"])
def test_experts_and_others_too(name: str):
    compare(name)


def compare(name: str) -> None:
    transformers = pytest.importorskip("transformers")
    names_of = importlib.import_module("transformers.trainer_pt_utils").get_parameter_names
    with torch.device("meta"):
        model = transformers.AutoModel.from_config(hugging_face()[name])
    patterns = [r"bias", r"layernorm", r"rmsnorm", r"(?:^|\.)norm(?:$|\.)", r"_norm(?:$|\.)"]
    decayed = set(names_of(model, [nn.LayerNorm], patterns))
    ours = {n for weight in weights_of(model) if weight.role in ("kernel", "embedding") for n in weight.names}
    assert ours
    assert ours - decayed == set()
    assert [n for n in decayed - ours if not re.search(DECAYED_SCALES, n)] == []


@pytest.mark.parametrize(
    "name", ["vit_b_16", "convnext_tiny", "swin_t", "swin_v2_t", "maxvit_t", "resnet18", "mnasnet0_5"]
)
def test_torchvisions_bare_parameters_are_no_kernels(name: str):
    import torchvision

    with torch.device("meta"):
        model = getattr(torchvision.models, name)()
    owned = {n for n, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.MultiheadAttention)}
    kernels = [weight.name for weight in weights_of(model) if weight.role == "kernel"]
    assert kernels
    assert all(name.rpartition(".")[0] in owned for name in kernels)
