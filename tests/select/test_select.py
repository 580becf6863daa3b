from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import regtorch as rt
from nets import everything, tied
from regtorch.select.language import SelectionError, choose, parse
from regtorch.select.roles import ORDER
from regtorch.select.weight import weights_of

NORM = ["norm.weight", "norm.bias", "layer_norm.weight", "layer_norm.bias"]
KERNEL = ["conv.weight", "up.weight", "rnn.weight_ih_l0", "rnn.weight_hh_l0", "head.weight"]
BIAS = ["relative_position_bias_table", "conv.bias", "up.bias", "rnn.bias_ih_l0", "rnn.bias_hh_l0", "head.bias"]
ATOMS = "kernel, bias, norm, embedding, all, name:…, type:…, largest:…"
OTHER = ["scale", "slope.weight"]


def names(select: str, model: nn.Module | None = None) -> list[str]:
    return list(rt.select.weights(model or everything()[0], select))


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ("kernel", KERNEL),
        ("bias", BIAS),
        ("norm", NORM),
        ("kernel -name:head.*", KERNEL[:-1]),
        ("  kernel   -name:head.*  ", KERNEL[:-1]),
        ("kernel -type:Conv*", ["rnn.weight_ih_l0", "rnn.weight_hh_l0", "head.weight"]),
        ("type:Conv2d", ["conv.weight", "conv.bias"]),
        ("type:_BatchNorm", ["norm.weight", "norm.bias"]),  # a base class
        ("name:*.weight -norm", ["conv.weight", "up.weight", "slope.weight", "head.weight"]),
        ("name:head.weight|name:conv.weight", ["conv.weight", "head.weight"]),
        ("largest:2 kernel", ["rnn.weight_ih_l0", "conv.weight"]),
        ("kernel largest:2|bias name:head*", ["conv.weight", "head.bias", "rnn.weight_ih_l0"]),
        ("largest:100 norm", NORM),
        ("-kernel -bias -norm", OTHER),
        ("all", [*NORM, *KERNEL, *BIAS, *OTHER]),
    ],
)
def test_the_language(select: str, expected: list[str]):
    assert sorted(names(select)) == sorted(expected)


def test_the_net_keeps_its_order():
    model, *_ = everything()
    order = [name for name, _ in model.named_parameters()]
    assert names("all") == order
    assert names("bias|kernel") == [name for name in order if name in KERNEL + BIAS]


@given(
    atoms=st.lists(
        st.sampled_from(["kernel", "-kernel", "bias", "name:*.weight", "-name:head*", "type:*Norm*", "all"]), min_size=1
    )
)
def test_a_space_is_and_a_bar_is_or(atoms: list[str]):
    def chosen(select: str) -> set[str]:
        try:
            return set(names(select))
        except SelectionError:
            return set()

    single = [chosen(atom) for atom in atoms]
    assert chosen(" ".join(atoms)) == set.intersection(*single)
    assert chosen("|".join(atoms)) == set.union(*single)


def test_the_roles_are_a_partition():
    assert sorted(NORM + KERNEL + BIAS + OTHER) == sorted(name for name, _ in everything()[0].named_parameters())
    assert {w.role for w in weights_of(everything()[0])} <= set(ORDER)


class RMSNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(1, 4, 1))


class LayerNormLinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.ones(4, 4))


class NormalizedLinear(nn.Linear): ...


class PatchEmbeddings(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.ones(1, 4, 4))
        self.projection = nn.Conv2d(3, 4, 2)


@pytest.mark.parametrize(
    ("model", "roles"),
    [
        (RMSNorm(), {"gamma": "norm"}),
        (LayerNormLinear(), {"matrix": "kernel"}),
        (NormalizedLinear(2, 2), {"weight": "kernel", "bias": "bias"}),
        (PatchEmbeddings(), {"position": "embedding", "projection.weight": "kernel", "projection.bias": "bias"}),
        (
            nn.MultiheadAttention(4, 2, add_bias_kv=True),
            dict.fromkeys(["in_proj_weight", "out_proj.weight"], "kernel")
            | dict.fromkeys(["bias_k", "bias_v", "in_proj_bias", "out_proj.bias"], "bias"),
        ),
        (nn.EmbeddingBag(3, 2), {"weight": "embedding"}),
        (nn.ModuleDict({"biases": nn.ParameterList([torch.ones(2, 2)])}), {"biases.0": "bias"}),
        (nn.GroupNorm(2, 4), {"weight": "norm", "bias": "norm"}),
        (nn.Bilinear(2, 3, 4), {"weight": "kernel", "bias": "bias"}),
    ],
)
def test_roles_are_told_by_the_owner(model: nn.Module, roles: dict[str, str]):
    assert {w.name: w.role for w in weights_of(model)} == roles


def test_a_tied_weight_has_all_its_names_and_its_first_role():
    model, *_ = tied()
    weight, *_ = weights_of(model)
    assert weight.names == ("wte.weight", "head.weight")
    assert weight.role == "embedding"
    assert names("name:head.*", model) == ["wte.weight"]
    assert names("all -name:head.*", model) == ["mix.weight", "mix.bias"]
    assert names("type:Linear -bias", model) == ["wte.weight", "mix.weight"]


def test_a_shared_module_counts_once():
    layer = nn.Linear(2, 2)
    model = nn.Sequential(layer, nn.ReLU(), layer)
    assert names("kernel", model) == ["0.weight"]
    assert weights_of(model)[0].names == ("0.weight", "2.weight")


def test_frozen_weights_never_match_nor_count_as_the_largest():
    model = nn.Sequential(nn.Linear(50, 50), nn.Linear(3, 3))
    model[0].requires_grad_(False)
    assert names("largest:1", model) == ["1.weight"]
    model.requires_grad_(False)
    with pytest.raises(SelectionError, match=r"0.weight \(frozen\)"):
        names("all", model)


@pytest.mark.parametrize(
    ("select", "message"),
    [
        ("kernal", f"select 'kernal': unknown atom 'kernal' (did you mean 'kernel'?); known are {ATOMS}"),
        ("al", "(did you mean 'all'?)"),
        ("xyz:1", "unknown atom 'xyz:1'; known are"),
        ("nome:x", "unknown atom 'nome:x' (did you mean 'name:'?)"),
        ("head.weight", "(did you mean 'name:head.weight'?)"),
        ("head", "(did you mean 'name:head.*'?)"),
        ("ReLU", "(did you mean 'type:ReLU'?)"),
        ("kernel and bias", "unknown atom 'and' (write | for or, a space for and); known"),
        ("kernel or bias", "unknown atom 'or' (write | for or, a space for and)"),
        ("type:conv*", "their owners' types are: BatchNorm2d, Conv2d, ConvTranspose2d, Everything, LSTM"),
        ("kernel:", "unknown atom 'kernel:'"),
        ("name:", "unknown atom 'name:'"),
        ("", "has an empty alternative: ''"),
        ("kernel||bias", "has an empty alternative: 'kernel||bias'"),
        ("largest:0", "'largest' takes a count from 1 to 10^18, as in largest:3, not 'largest:0'"),
        (f"largest:{10**19}", f"'largest' takes a count from 1 to 10^18, as in largest:3, not 'largest:{10**19}'"),
        ("largest:x", "'largest' takes a count"),
        ("largest", "'largest' takes a count"),
        ("largest:" + "9" * 5000, "'largest' takes a count"),
        ("-largest:2", "'largest' is never negated"),
        ("name:nothing", "there are: scale (other), relative_position_bias_table (bias)"),
        ("kernel -kernel", "matches none of the network's weights"),
        (7, "select must be a string"),
    ],
)
def test_errors_say_what_there_is(select: str, message: str):
    with pytest.raises(SelectionError) as caught:
        rt.select.weights(everything()[0], select)
    assert message in str(caught.value)


def test_a_net_without_weights():
    with pytest.raises(SelectionError, match="the network has no weights"):
        names("all", nn.ReLU())


def test_many_names_are_cut():
    with pytest.raises(SelectionError, match=r"weights; there are: 0.weight \(kernel\), 0.bias \(bias\)$"):
        names("name:x", nn.Sequential(nn.Linear(1, 1)))
    with pytest.raises(SelectionError, match=r"19.weight \(kernel\), 19.bias \(bias\)$"):
        names("name:x", nn.Sequential(*[nn.Linear(1, 1) for _ in range(20)]))
    with pytest.raises(SelectionError, match="and 60 more"):
        names("name:x", nn.Sequential(*[nn.Linear(1, 1) for _ in range(50)]))


def test_lazy_weights_need_a_first_batch():
    with pytest.raises(ValueError, match="the weight 'weight' has no shape yet; run a batch"):
        names("kernel", nn.LazyLinear(3))


def test_reasons_for_what_is_left_out():
    model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    model[2].bias.requires_grad_(False)
    left_out = {w.name: reason for w, reason in choose(model, "kernel largest:1|bias type:LayerNorm").left_out}
    assert left_out == {
        "0.bias": "bias, not kernel; not type:LayerNorm",
        "1.weight": "norm, not kernel; norm, not bias",
        "1.bias": "norm, not kernel; norm, not bias",
        "2.weight": "not among the largest:1; kernel, not bias",
        "2.bias": "frozen",
    }


def test_many_names_are_counted_in_the_reasons():
    model = nn.Sequential(*(nn.Linear(2, 2) for _ in range(4)))
    names = "name:0.weight|kernel name:1.*|name:2.weight"
    reasons = {w.name: reason for w, reason in choose(model, f"{names}|norm").left_out}
    assert reasons["3.weight"] == "none of 3 names; kernel, not norm"
    assert reasons["3.bias"] == "not name:0.weight; bias, not kernel; not name:2.weight; bias, not norm"


def test_the_atom_that_leaves_a_weight_out_is_the_reason():
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 2, bias=False))
    left_out = choose(model, "kernel -name:1.* -type:LSTM").left_out
    assert [(w.name, reason) for w, reason in left_out] == [("1.weight", "-name:1.*")]


def test_parse_gives_alternatives_of_atoms():
    assert [[str(atom) for atom in part] for part in parse("kernel -name:a|largest:2")] == [
        ["kernel", "-name:a"],
        ["largest:2"],
    ]


def test_what_describes_a_net_cannot_be_changed():
    model = nn.Linear(2, 2)
    (weight, _), ((atom,),) = weights_of(model), parse("kernel")
    for value, field in ((choose(model, "all"), "chosen"), (weight, "role"), (weight.layout, "dims"), (atom, "kind")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field, None)


def test_sharded_weights_are_refused():
    class FlatParameter(nn.Parameter): ...

    model = nn.Linear(2, 2)
    model.weight = FlatParameter(torch.ones(2, 2))
    with pytest.raises(TypeError, match="'weight' is flattened, so its shape is lost"):
        names("kernel", model)


def test_an_exclusion_that_matches_nothing_shows_in_the_receipt():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    receipt = rt.L2(0.1, select="kernel -name:head -type:LSTM").on(model).receipt()
    assert "matching no weight: -name:head, -type:LSTM (" in receipt
    assert "matching no weight" not in rt.L2(0.1, select="kernel -name:1.*|name:0.*").on(model).receipt()


@pytest.mark.parametrize("wrong", [nn.Linear(2, 2).parameters(), torch.ones(2), None])
def test_rules_bind_to_modules(wrong: object):
    for rule in (rt.L2(0.1), rt.MaxNorm()):
        with pytest.raises(TypeError, match=f"on: model must be an nn.Module, received {type(wrong).__name__}"):
            rule.on(wrong)


def test_reading_gives_the_parameters_themselves():
    model, *_ = everything()
    chosen: dict[str, Tensor] = rt.select.weights(model, "all")
    assert all(chosen[name] is p for name, p in model.named_parameters())
