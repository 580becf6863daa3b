"""Weights that no layer of torch's owns, or that lie otherwise than torch's: what they are, and where units lie."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

import regtorch as rt
from regtorch.select.weight import weights_of

close = torch.testing.assert_close


class Holder(nn.Module):
    def __init__(self, **shapes: tuple[int, ...]) -> None:
        super().__init__()
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.randn(shape, dtype=torch.float64)))


def of_class(name: str, **shapes: tuple[int, ...]) -> nn.Module:
    """A module of a class of this name, as other libraries have it."""
    return type(name, (Holder,), {})(**shapes)


def roles(model: nn.Module) -> dict[str, str]:
    return {weight.name: weight.role for weight in weights_of(model)}


@pytest.mark.parametrize(
    ("kind", "name", "shape", "role"),
    [
        ("CoaT", "cls_token1", (1, 1, 8), "embedding"),
        ("Net", "clsToken", (1, 1, 8), "embedding"),
        ("Net", "pos_embed2", (1, 8, 4, 4), "embedding"),
        ("PosEmbedRel", "height_rel", (7, 4), "embedding"),
        ("Projector", "query", (1, 3, 8), "embedding"),
        ("Head", "pooling_attention_query", (1, 1, 8), "embedding"),
        ("Net", "queries", (5, 8), "embedding"),
        ("Net", "text_prompt", (1, 5, 8), "embedding"),
        ("Net", "pe", (1, 5, 8), "embedding"),
        ("Attention", "query", (8, 8), "kernel"),
        ("Net", "token_weight", (5, 8), "kernel"),
        ("Net", "pos_proj", (5, 8), "kernel"),
        ("Net", "latent_projection", (5, 8), "kernel"),
        ("Net", "embed_kernel", (5, 8), "kernel"),
        ("Net", "pos_weight", (5,), "other"),
        ("PatchEmbedding", "weight", (8, 12), "kernel"),
        ("PatchEmbeddings", "projection", (8, 12), "kernel"),
        ("QuantEmbedding", "weight", (8, 12), "embedding"),
        ("SegmentPositionEmbedding", "relative_attention_bias", (8, 2), "bias"),
        ("GRN", "weight", (1, 1, 1, 8), "other"),
        ("Scale", "weight", (8, 1, 1), "other"),
        ("MyLinear", "weight", (1, 8), "kernel"),
        ("MyLinear", "weight", (8, 1), "kernel"),
        ("RotaryEmbeddingMixed", "freqs", (2, 3, 4, 5), "other"),
    ],
)
def test_what_a_bare_weight_is(kind: str, name: str, shape: tuple[int, ...], role: str):
    assert roles(of_class(kind, **{name: shape})) == {name: role}


def test_a_state_space_layers_skip_is_no_kernel():
    assert roles(of_class("Mixer", A_log=(2, 8, 4), D=(2, 8))) == {"A_log": "other", "D": "other"}
    assert roles(of_class("Net", D=(2, 8))) == {"D": "kernel"}


def test_what_a_subclass_of_a_layer_adds_is_told_by_itself():
    class Scaled(nn.Conv2d):
        def __init__(self) -> None:
            super().__init__(3, 4, 2)
            self.gamma = nn.Parameter(torch.full((4, 1, 1), 1e-6))
            self.pos_embed = nn.Parameter(torch.zeros(1, 4, 2, 2))
            self.mix = nn.Parameter(torch.zeros(4, 4))

    assert roles(Scaled()) == {
        "weight": "kernel",
        "bias": "bias",
        "gamma": "other",
        "pos_embed": "embedding",
        "mix": "kernel",
    }


class PatchEmbedding(nn.Linear): ...


class TokenNorm(nn.Linear): ...


@pytest.mark.parametrize("model", [PatchEmbedding(3, 4), TokenNorm(3, 1)])
def test_the_name_of_a_layers_class_hides_no_matrix(model: nn.Module):
    assert roles(model) == {"weight": "kernel", "bias": "bias"}


def test_a_layer_with_a_norms_name_keeps_its_matrix_and_its_bias():
    model = of_class("WeightNormLinear", weight=(3, 4), g=(3, 1), bias=(3,))
    assert roles(model) == {"weight": "kernel", "g": "other", "bias": "bias"}
    assert roles(of_class("LayerNorm2d", weight=(1, 3, 1, 1), bias=(3,))) == {"weight": "norm", "bias": "norm"}


def norms(w: Tensor, dims: tuple[int, ...]) -> Tensor:
    return torch.linalg.vector_norm(w, dim=dims)


PAIR = {"standard": ((3, 10, 4), (3, 4, 5)), "transposed": ((3, 4, 10), (3, 5, 4))}
KNOWN = {
    "experts": ("MyExperts", dict(zip(("gate_up_proj", "down_proj"), PAIR["standard"], strict=True)), (2,)),
    "experts transposed": (
        "MyExperts",
        dict(zip(("gate_up_proj", "down_proj"), PAIR["transposed"], strict=True)),
        (1,),
    ),
    "square experts": ("MyExperts", {"gate_up_proj": (3, 4, 8), "down_proj": (3, 4, 4)}, (1,)),
    "GptOss": ("GptOssExperts", {"down_proj": (3, 4, 4)}, (1,)),
    "Mixtral": ("MixtralExperts", {"down_proj": (3, 4, 4)}, (2,)),
    "JetMoe": ("JetMoeParallelExperts", {"weight": (3, 6, 4)}, (2,)),
    "Csm": ("CsmCodebooksHead", {"weight": (3, 4, 6)}, (1,)),
    "RecurrentGemma": ("RecurrentGemmaRglru", {"input_gate_weight": (3, 4, 4)}, (1,)),
    "Zamba": ("ZambaMambaMixer", {"x_proj_weight": (3, 6, 4)}, (2,)),
    "XLNet": ("XLNetRelativeAttention", {"q": (4, 2, 3)}, (0,)),
    "Conv1D": ("Conv1D", {"weight": (4, 6)}, (0,)),
    "a subclass of Conv1D": ("MyConv1D", {"weight": (4, 6)}, (0,)),
    "pygcn": ("GraphConvolution", {"weight": (4, 6)}, (0,)),
    "Gemma 3": ("Gemma3MultiModalProjector", {"mm_input_projection_weight": (4, 6)}, (0,)),
    "CLIP": ("CLIP", {"text_projection": (4, 6)}, (0,)),
    "own convolution": ("Own", {"weight": (6, 4, 3, 3)}, (1, 2, 3)),
    "own kernel": ("Own", {"kernel": (6, 4, 3)}, (1, 2)),
    "bare matrix": ("Own", {"w": (6, 4)}, (1,)),
}

INPUTS_FIRST = {
    "GraphConv": "weight",
    "TextTransformer": "text_projection",
    "VisionTransformer": "proj",
    "XCLIPModel": "prompts_visual_projection",
    "OmDetTurboLanguageBackbone": "text_projection",
    "T5Gemma2MultiModalProjector": "mm_input_projection_weight",
}
KNOWN |= {f"{kind} {name}": (kind, {name: (4, 6)}, (0,)) for kind, name in INPUTS_FIRST.items()}
OF_THREE_DIMS = [
    ("MixtralExperts", "gate_up_proj up_proj gate_proj", (2,)),
    ("InklingSharedExperts", "down_proj", (2,)),
    ("GraniteMoeParallelExperts", "weight", (2,)),
    ("ZambaMambaMixer", "dt_proj_weight", (2,)),
    ("GptOssExperts", "gate_up_proj", (1,)),
    ("Llama4TextExperts", "down_proj", (1,)),
    ("RecurrentGemmaRglru", "recurrent_gate_weight", (1,)),
    ("XLNetRelativeAttention", "k v r", (0,)),
    ("XLNetRelativeAttention", "o", (1, 2)),
]
KNOWN |= {f"{k} {n}": (k, {n: (3, 4, 4)}, dims) for k, names, dims in OF_THREE_DIMS for n in names.split()}


@pytest.mark.parametrize(("kind", "shapes", "dims"), KNOWN.values(), ids=KNOWN)
def test_units_that_the_owner_tells(kind: str, shapes: dict[str, tuple[int, ...]], dims: tuple[int, ...]):
    if kind == "MyConv1D":
        model: nn.Module = type(kind, (type("Conv1D", (Holder,), {}),), {})(**shapes)
    else:
        model = of_class(kind, **shapes)
    for name in shapes:
        w = model.get_parameter(name)
        fan_in = math.prod(w.shape[d] for d in dims)
        close(rt.GroupLasso(1.0, select=f"name:{name}").on(model)(), math.sqrt(fan_in) * norms(w, dims).sum())
        rt.UnitNorm(select=f"name:{name}").on(model).project_()
        close(norms(w, dims), torch.ones_like(norms(w, dims)))


def test_a_parametrized_layer_keeps_its_units():
    model = of_class("Conv1D", weight=(4, 6))
    parametrizations.weight_norm(model, dim=1)
    close(rt.GroupLasso(1.0).on(model)(), 2.0 * norms(model.weight, (0,)).sum())


@pytest.mark.parametrize(
    ("kind", "name", "shape"),
    [
        ("Own", "w1", (3, 4, 5)),
        ("Own", "w1", (2, 3, 4, 5)),
        ("Own", "w1", (1, 3, 4, 5)),
        ("MyExperts", "up_proj", (3, 4, 5)),
        ("Own", "gate_weight", (3, 4, 5)),
        ("CondConv2d", "weight", (3, 40)),
        ("Hiera", "pos_embed", (1, 8, 4, 4)),
        ("RelPosBias", "relative_position_bias_table", (4, 7, 7)),
    ],
)
def test_units_that_nothing_tells_are_refused(kind: str, name: str, shape: tuple[int, ...]):
    model = of_class(kind, **{name: shape})
    for rule in (rt.GroupLasso(0.1, select="all"), rt.MaxNorm(1.0, select="all")):
        with pytest.raises(TypeError, match=f"output units of the weight '{name}' .* by dim=.*, or leave it out"):
            rule.on(model)
    with pytest.raises(TypeError, match="is unknown; leave it out with -name") as caught:
        rt.Orthogonal(0.1, select="all").on(model)
    assert "dim=" not in str(caught.value)
    rt.L2(0.1, select="all").on(model)
    rt.UnitNorm(dim=-1, select="all").on(model).project_()
    close(norms(model.get_parameter(name), (-1,)), torch.ones(shape[:-1], dtype=torch.float64))


@pytest.mark.parametrize("shape", [(1, 7, 4), (1, 1, 7, 4), (7, 1, 4)])
def test_the_units_of_positions_are_their_vectors(shape: tuple[int, ...]):
    model = of_class("ViT", pos_embed=shape)
    rt.UnitNorm(select="embedding").on(model).project_()
    close(norms(model.pos_embed, (-1,)), torch.ones(shape[:-1], dtype=torch.float64))


@pytest.mark.parametrize("shape", [(8, 1, 1), (1, 8, 1, 1), (1, 1, 8), (8, 1), (8,)])
def test_a_vector_is_one_unit_however_it_is_written(shape: tuple[int, ...]):
    model = of_class("Block", layer_scale=shape)
    rt.UnitNorm(select="all").on(model).project_()
    close(model.layer_scale.norm(), torch.ones((), dtype=torch.float64))


def test_a_tied_weight_whose_owners_disagree_is_refused():
    model = nn.ModuleDict({"a": nn.Linear(4, 6, bias=False).double(), "b": of_class("Conv1D", weight=(6, 4))})
    model["b"].weight = model["a"].weight
    with pytest.raises(TypeError, match=r"the dim of the output units of the weight 'a\.weight'"):
        rt.MaxNorm(1.0).on(model)


class DeepSpeedEngine(nn.Module):
    """A wrapper that holds the net as `module`."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module


def test_wrappers_of_other_libraries_are_seen_through():
    assert list(rt.select.weights(DeepSpeedEngine(nn.Sequential(nn.Linear(2, 2))), "name:0.*")) == [
        "0.weight",
        "0.bias",
    ]
    own = of_class("Own", w=(2, 2))
    own.module = nn.Linear(2, 2)
    assert "module.weight" in rt.select.weights(own, "kernel")


@pytest.mark.parametrize("listed", [None, ["w"], {"w": 1}, ("w",)])
def test_a_nets_own_list_may_be_of_any_kind(listed: object):
    class Net(Holder):
        def no_weight_decay(self) -> object:
            return listed

    assert ("exempted by the network's no_weight_decay: w;" in rt.L2(0.1).on(Net(w=(2, 2))).receipt()) == (
        listed is not None
    )


def test_a_method_of_that_name_that_is_another_thing_is_left_alone():
    class Net(Holder):
        def no_weight_decay(self, name: str) -> bool:
            return name == "w"

    assert "no_weight_decay" not in rt.L2(0.1).on(Net(w=(2, 2))).receipt()


def test_weights_that_are_marked_are_in_the_receipt():
    """Mamba marks its parameters by an attribute."""
    net = of_class("Net", w=(2, 2), v=(2, 2))
    net.w._no_weight_decay = True
    assert "no_weight_decay: w; to leave one out, add -name:w" in rt.L2(0.1).on(net).receipt()
