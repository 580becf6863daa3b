"""Rates by depth: as timm's on a vision transformer, and refused where the order of layers is not known."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn, optim

import regtorch as rt
from nets import everything


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4)
        self.parts = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])  # a list in a block is none of the net's

    def forward(self, x: Tensor) -> Tensor:
        return x + self.parts[1](self.parts[0](self.norm(x)).relu())


class Transformer(nn.Module):
    """Named as vision transformers are."""

    def __init__(self) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 4))
        self.patch_embed = nn.Linear(3, 4)
        self.blocks = nn.Sequential(*[Block() for _ in range(3)])
        self.norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, 2)


def rates(model: nn.Module, groups: list[dict[str, Any]]) -> dict[str, float]:
    of = {id(p): group["lr"] for group in groups for p in group["params"]}
    return {name: of[id(p)] for name, p in model.named_parameters()}


def test_each_block_is_a_layer():
    model = Transformer()
    groups = rt.param_groups(model, 0.1, lr=1.0, layer_decay=0.5)
    found = rates(model, groups)
    assert found["cls_token"] == found["patch_embed.weight"] == found["patch_embed.bias"] == 0.5**4
    for i, rate in enumerate((0.5**3, 0.5**2, 0.5)):
        assert {found[name] for name in found if name.startswith(f"blocks.{i}.")} == {rate}
    assert found["norm.weight"] == found["norm.bias"] == 0.5
    assert found["head.weight"] == found["head.bias"] == 1.0
    whole = {id(p) for p in rt.param_groups(model, 0.1)[0]["params"]}
    for group in groups:
        assert {id(p) in whole for p in group["params"]} == {group["weight_decay"] == 0.1}
    optim.AdamW(groups)  # takes them, each parameter once


def test_the_receipt_tells_each_group():
    model = Transformer()
    lines = rt.param_groups(model, 0.1, lr=0.01, layer_decay=0.5).receipt().splitlines()
    head = "  group 9: lr=0.01, weight_decay=0, 1 parameter of 2 numbers: head.bias"
    assert lines[-1] == head
    assert "  group 8: lr=0.01, weight_decay=0.1, 1 parameter of 8 numbers: head.weight" in lines
    plain = rt.param_groups(model, 0.1).receipt().splitlines()
    assert plain[-1].startswith("  group 1: weight_decay=0, 17 parameters of 66 numbers: cls_token, ")


def test_frozen_layers_keep_their_place():
    model = Transformer()
    model.patch_embed.requires_grad_(False)
    model.blocks[2].requires_grad_(False)
    groups = rt.param_groups(model, 0.1, lr=1.0, layer_decay=0.5)
    of = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert of[id(model.cls_token)] == 0.5**4
    assert id(model.blocks[2].norm.weight) not in of
    assert of[id(model.blocks[1].norm.weight)] == 0.25


def test_a_sequential_has_its_members():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.BatchNorm1d(4), nn.Linear(4, 2))
    found = rates(model, rt.param_groups(model, 0.1, lr=1.0, layer_decay=0.1))
    assert found["0.weight"] == pytest.approx(0.01)
    assert found["2.weight"] == found["2.bias"] == pytest.approx(0.1)
    assert found["3.bias"] == 1.0
    alike = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    assert rates(alike, rt.param_groups(alike, lr=1.0, layer_decay=0.1)) == pytest.approx(
        {"0.weight": 0.1, "0.bias": 0.1, "1.weight": 1.0, "1.bias": 1.0}
    )


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
        self.decoder = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
        self.scale = nn.Parameter(torch.ones(2))


def test_layers_by_name():
    model = Two()
    layers = [["encoder.0", "scale"], "encoder", "decoder"]  # the longest name counts
    found = rates(model, rt.param_groups(model, lr=1.0, layer_decay=0.5, layers=layers))
    assert found["encoder.0.weight"] == found["scale"] == 0.25
    assert found["encoder.1.weight"] == 0.5
    assert found["decoder.0.weight"] == found["decoder.1.bias"] == 1.0


@pytest.mark.parametrize(
    ("model", "options", "error", "said"),
    [
        (Two(), {}, ValueError, r"Two has 2 lists of blocks \(encoder, decoder\), so .* give layers="),
        (everything()[0], {}, ValueError, "Everything has no list of blocks"),
        (Two(), {"layers": ["encoder", "scale"]}, ValueError, "missing are decoder.0.weight, "),
        (
            Two(),
            {"layers": ["encoder", "scale", "decoder", "head"]},
            ValueError,
            "'head' matches no parameter",
        ),
        (Two(), {"layers": "encoder"}, TypeError, "layers must be a list of names"),
        (Two(), {"layers": ["encoder", 3]}, TypeError, "layers must hold names|object is not iterable"),
        (
            Transformer(),
            {"layer_decay": 0.0},
            ValueError,
            "layer_decay must be a number above 0 and at most 1, received 0.0",
        ),
        (
            Transformer(),
            {"layer_decay": 1.5},
            ValueError,
            "layer_decay must be a number above 0 and at most 1, received 1.5",
        ),
        (Transformer(), {"layer_decay": "x"}, TypeError, "layer_decay must be a number"),
        (Transformer(), {"lr": None}, TypeError, "lr must be a finite number"),
        (Transformer(), {"layer_decay": None, "layers": ["head"]}, TypeError, "layers= needs layer_decay="),
    ],
)
def test_refused(model: nn.Module, options: dict[str, Any], error: type[Exception], said: str):
    with pytest.raises(error, match=f"param_groups: .*{said}"):
        rt.param_groups(model, 0.1, **{"lr": 1.0, "layer_decay": 0.5, **options})


def test_without_a_rate():
    with pytest.raises(TypeError, match="layer_decay needs lr="):
        rt.param_groups(Transformer(), layer_decay=0.5)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "deit3_small_patch16_224"])
def test_as_timm_does(name: str):
    timm: Any = pytest.importorskip("timm", reason="timm is not installed")
    optimizers: Any = pytest.importorskip("timm.optim")
    model = timm.create_model(name, num_classes=3)
    theirs = optimizers.param_groups_layer_decay(model, weight_decay=0.1, layer_decay=0.65)
    scale = {id(p): group["lr_scale"] for group in theirs for p in group["params"]}
    found = rates(model, rt.param_groups(model, 0.1, lr=1e-3, layer_decay=0.65))
    assert found == pytest.approx({n: 1e-3 * scale[id(p)] for n, p in model.named_parameters()}, rel=1e-12)


def test_the_parameters_are_the_models():
    with pytest.raises(TypeError, match="param_groups: params is taken from the model"):
        rt.param_groups(nn.Linear(2, 2), 0.1, params=[])
