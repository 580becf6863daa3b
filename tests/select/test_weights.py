"""The weights of a net inside what other libraries put around it, and what is said of those that are gone."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import regtorch as rt
from regtorch.select.weight import modules_of, weights_of

CONTAINERS = ["_orig_mod", "_checkpoint_wrapped_module", "_forward_module", "_original_module", "_fsdp_wrapped_module"]
HOLDERS = ["DeepSpeedEngine", "ModelEmaV2", "ModelEmaV3", "ShardedDataParallel"]


def around(net: nn.Module, kind: str, attribute: str) -> nn.Module:
    """A module of a class of this name that holds the net."""
    outer = type(kind, (nn.Module,), {})()
    outer.add_module(attribute, net)
    return outer


@pytest.mark.parametrize(
    ("kind", "attribute"), [("Any", name) for name in CONTAINERS] + [(name, "module") for name in HOLDERS]
)
def test_wrappers_leave_no_trace_in_names(kind: str, attribute: str):
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    outer = around(net, kind, attribute)
    assert list(rt.select.weights(outer, "kernel")) == ["0.weight", "1.weight"]
    assert list(modules_of(outer)) == ["", "0", "1"]


def test_another_submodule_called_module_is_none():
    outer = around(nn.Linear(2, 3), "Mine", "module")
    assert list(rt.select.weights(outer, "kernel")) == ["module.weight"]
    outer = around(nn.Linear(2, 3), "DeepSpeedEngine", "other")
    assert list(rt.select.weights(outer, "kernel")) == ["other.weight"]


def test_an_empty_place_hides_no_layer_behind_it():
    net = nn.Module()
    net.register_module("none", None)
    net.last = nn.Linear(2, 3)
    assert list(rt.select.weights(net, "all")) == ["last.weight", "last.bias"]
    parametrizations.weight_norm(net.last)
    net.last.extra = nn.Linear(2, 3)  # behind the parametrizations
    names = [weight.name for weight in weights_of(net)]
    assert names == ["last.bias", "last.weight", "last.extra.weight", "last.extra.bias"]


def test_what_is_said_of_a_weight_that_is_gone():
    net = nn.Sequential(nn.Linear(2, 3))
    reg = rt.L2(0.1).on(net)
    net[0] = nn.ReLU()
    with pytest.raises(LookupError, match=r"^the network no longer has a weight '0.weight'; bind the rule again$"):
        reg()

    class FlatParameter(nn.Parameter): ...

    del net[0]
    net.register_parameter("flat", FlatParameter(torch.zeros(6)))
    way = r"use fully_shard \(FSDP2\), tensor parallelism or DDP instead$"
    with pytest.raises(LookupError, match=f"^the weight '0.weight' was sharded by FSDP: FSDP1 flattens weights; {way}"):
        reg()


def test_a_tied_weight_names_all_its_owners_types():
    net = nn.ModuleDict({"a": nn.Linear(3, 3, bias=False), "b": nn.Embedding(3, 3)})
    net["b"].weight = net["a"].weight
    (weight,) = weights_of(net)
    assert weight.types == {"Linear", "Embedding"}


def test_a_net_that_marks_and_lists_weights_exempts_both():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.marked, self.listed, self.neither = (nn.Parameter(torch.ones(2, 2)) for _ in range(3))
            self.marked._no_weight_decay = True

        def no_weight_decay(self, also: tuple[object, ...] = (3,)) -> list[object]:
            return ["listed", *also]

    assert "no_weight_decay: marked, listed;" in rt.L2(0.1).on(Net()).receipt()
