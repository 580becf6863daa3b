"""Roles: kernels are what multiplies inputs; tokens, positions, scales and temperatures are not."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

import regtorch as rt
from regtorch.select.roles import role_of
from regtorch.select.weight import weights_of


def roles(model: nn.Module) -> dict[str, str]:
    return {name: weight.role for weight in weights_of(model) for name in weight.names}


class Bare(nn.Module):
    """A net with one parameter of its own."""

    def __init__(self, name: str, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_parameter(name, nn.Parameter(torch.ones(shape)))


BARE = {
    "other": [
        ("layer_scale", (8, 1, 1)),
        ("logit_scale", (4, 1, 1)),
        ("logit_scale", ()),
        ("temperature", (4, 1, 1)),
        ("gamma", (1, 1, 8)),
        ("gamma_1", (8,)),
        ("alpha", (1, 8, 1, 1)),
        ("lambda1", (8,)),
        ("A_log", (16, 4)),
        ("D", (16,)),
        ("sinks", (4,)),
        ("scale", (3, 5)),
        ("anything", (1, 7)),
        ("anything", (7,)),
    ],
    "embedding": [
        ("cls_token", (1, 1, 8)),
        ("dist_token", (1, 1, 8)),
        ("reg_token", (1, 4, 8)),
        ("mask_token", (1, 1, 8)),
        ("prompt_tokens", (5, 8)),
        ("class_embedding", (8,)),
        ("pos_embed", (1, 17, 8)),
        ("pos_embed_win", (1, 8, 4, 4)),
        ("positional_embedding", (17, 8)),
        ("position_embeddings", (1, 17, 8)),
        ("rel_pos_h", (27, 8)),
        ("mask_emb", (1, 1, 8)),
        ("seg_embed", (2, 4, 8)),
        ("latent", (1, 1, 8)),
        ("probe", (1, 1, 8)),
        ("abs_pos", (16, 8)),
        ("query", (1, 3, 8)),
        ("cls", (1, 1, 8)),
    ],
    "bias": [("relative_position_bias_table", (25, 4)), ("r_w_bias", (4, 8)), ("attention_biases", (4, 16))],
    "kernel": [("w", (5, 3)), ("anything", (5, 3)), ("q", (8, 4, 2)), ("weight", (1, 7)), ("my_kernel", (7, 1))],
}
BARE["kernel"] += [("query", (2, 3, 8)), ("query", (3, 1, 8)), ("anything", (2, 8)), ("weights", (1, 7))]
BARE["other"] += [("query", (1, 8)), ("anything", (1, 1))]
WORDS = {
    "embedding": "token tokens latent latents probe queries prompts emb embs embed embeds embedding embeddings pos "
    "position positions positional rel pe ape",
    "bias": "bias biases",
    "other": "scale scales gamma gammas temperature log logs freqs",
    "kernel": "proj projection matrix weight weights kernel kernels",
}


@pytest.mark.parametrize(("role", "name", "shape"), [(r, *case) for r, cases in BARE.items() for case in cases])
def test_bare_parameters(role: str, name: str, shape: tuple[int, ...]):
    assert roles(Bare(name, shape)) == {name: role}
    assert roles(nn.Sequential(Bare(name, shape))) == {f"0.{name}": role}


@pytest.mark.parametrize(("role", "word"), [(r, word) for r, words in WORDS.items() for word in words.split()])
def test_every_word_that_tells_a_role(role: str, word: str):
    assert roles(Bare(f"my_{word}", (5, 8))) == {f"my_{word}": role}
    if role in ("kernel", "bias", "other"):  # a product, a bias and a scale of positions are that
        assert roles(Bare(f"pos_{word}", (5, 8))) == {f"pos_{word}": role}
    if role == "kernel":
        assert roles(Bare(word, (1, 8))) == {word: "other" if word in ("proj", "projection", "matrix") else "kernel"}


def test_a_name_further_out_tells_nothing():
    table = nn.ModuleDict({"bias": nn.ModuleDict({"table": nn.Embedding(7, 4)})})
    assert roles(table) == {"bias.table.weight": "embedding"}
    mixing = nn.ModuleDict({"pos": nn.ModuleDict({"mix": nn.ParameterList([torch.ones(5, 8)])})})
    assert roles(mixing) == {"pos.mix.0": "kernel"}


def test_layers_of_one_unit_or_input_are_kernels():
    model = nn.Sequential(nn.Linear(1, 5), nn.Linear(5, 1), nn.Conv1d(1, 4, 1), nn.LSTM(1, 1), nn.Bilinear(1, 1, 1))
    assert {role for name, role in roles(model).items() if "bias" not in name} == {"kernel"}


class PositionNet(nn.Linear):
    """Its class and attribute say position, what it does is a product."""


class WeightNormLinear(nn.Module):
    """Somebody's layer with a class name like a norm's."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3, 4))
        self.g = nn.Parameter(torch.ones(3, 1))
        self.bias = nn.Parameter(torch.ones(3))


class LayerNorm2d(nn.Module):
    """Somebody's norm."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, 3, 1, 1))
        self.bias = nn.Parameter(torch.ones(3))


class Attention(nn.Module):
    """T5's relative attention bias is an Embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.relative_attention_bias = nn.Embedding(32, 4)
        self.embed_tokens = nn.Embedding(7, 4)


def test_types_and_names_together():
    assert roles(nn.ModuleDict({"pos_embed": PositionNet(3, 4), "scale": nn.Linear(3, 4, bias=False)})) == {
        "pos_embed.weight": "kernel",
        "pos_embed.bias": "bias",
        "scale.weight": "kernel",
    }
    assert roles(WeightNormLinear()) == {"weight": "kernel", "g": "other", "bias": "bias"}
    assert roles(LayerNorm2d()) == {"weight": "norm", "bias": "norm"}
    assert roles(Attention()) == {"relative_attention_bias.weight": "bias", "embed_tokens.weight": "embedding"}
    assert roles(nn.PReLU(4)) == {"weight": "other"}


def test_scales_of_residual_branches_are_left_alone():
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mlp = nn.Linear(8, 8)
            self.layer_scale = nn.Parameter(torch.full((8, 1, 1), 1e-6))

    block = Block()
    rt.UnitNorm().on(block).project_()
    optimizer = torch.optim.SGD(block.parameters(), lr=0.1)
    rt.L1(1e-4).on(block).attach(optimizer, proximal=True)
    block.layer_scale.grad = torch.zeros_like(block.layer_scale)
    block.mlp.weight.grad = torch.zeros_like(block.mlp.weight)
    optimizer.step()
    assert (block.layer_scale == 1e-6).all()


def test_names_inside_an_averaged_model():
    averaged = AveragedModel(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2)))
    assert list(rt.select.weights(averaged, "name:0.*")) == ["0.weight", "0.bias"]
    with torch.no_grad():
        rt.MaxNorm(0.1).on(averaged).project_()
    assert averaged.module[0].weight.norm(dim=1).max() < 0.1 + 1e-6


class Exempting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.token_projection = nn.Linear(4, 4)
        self.head = nn.Linear(4, 2)

    def no_weight_decay(self) -> set[str]:
        return {"token_projection.weight", "pos_embed"}


def test_what_the_net_exempts_from_decay_is_in_the_receipt():
    name = "{0}token_projection.weight"
    line = f"exempted by the network's no_weight_decay: {name}; to leave one out, add -name:{name}"
    assert line.format("") in rt.L2(0.1).on(Exempting()).receipt()
    assert line.format("0.") in rt.MaxNorm(1.0).on(nn.Sequential(Exempting())).receipt()
    assert "no_weight_decay" not in rt.L2(0.1, select="kernel -name:token*").on(Exempting()).receipt()


def test_the_roles_are_decided_in_their_order():
    class TokenEmbedding(Bare):
        """A table of another library's."""

    net = TokenEmbedding("bias", (3,))
    assert role_of(net, "bias", net.get_parameter("bias")) == "embedding"
    assert role_of(nn.Linear(2, 3), "weight", torch.ones(6)) == "other", "a flattened one has no rows"
