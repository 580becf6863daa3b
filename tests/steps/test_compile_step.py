"""`rt.compile_step`: whole training steps in one function, equal to those made by their parts."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn, optim
from torch.nn import functional as F
from torch.optim.lr_scheduler import StepLR

import regtorch as rt
from compiled_steps import NETS, OPTIMIZERS, RULES, TAKEN, Make, Rules, assert_alike, batches, pair, train


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The functions as they were before compilation, which is slow."""
    made: list[Any] = []
    monkeypatch.setattr(torch, "compile", lambda function, **_: made.append(function) or function)
    return made


@pytest.mark.parametrize("rules", TAKEN.values(), ids=TAKEN.keys())
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
@pytest.mark.parametrize("net", NETS.values(), ids=NETS.keys())
@pytest.mark.sampled(24)
@pytest.mark.filterwarnings("ignore:.*the weight_decay of")
def test_a_step_is_that_of_its_parts(uncompiled: list[Any], make: Make, rules: Rules, net: Callable[[], nn.Module]):
    step, by_parts, nets, optimizers = pair(make, rules, net)
    train(step, by_parts, batches(20))
    assert len(uncompiled) == 1
    assert step.why_not == ""
    assert_alike(nets, optimizers)


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("make", "rules", "net"),
    [
        ("RMSprop", "L2", "dense"),
        ("SGD nesterov", "MaxNorm", "norms"),
        ("Adam fused", "L1 and a schedule", "tied"),
        ("AdamW amsgrad", "GroupLasso", "dense"),
        ("Adagrad", "L1L2, proximal", "norms"),
        ("SGD", "Box and L2SP", "tied"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*the weight_decay of")
def test_a_compiled_step_is_that_of_its_parts(make: str, rules: str, net: str):
    step, by_parts, nets, optimizers = pair(OPTIMIZERS[make], TAKEN[rules], NETS[net])
    data = batches(12)
    data[5] = data[5][0][:3], data[5][1][:3]  # a smaller batch
    train(step, by_parts, data)
    assert step.why_not == ""
    assert_alike(nets, optimizers)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.filterwarnings("ignore:compile_step")
def test_every_rule_acts(uncompiled: list[Any], name: str):
    step, by_parts, nets, optimizers = pair(OPTIMIZERS["SGD"], [(RULES[name], {})])
    train(step, by_parts, batches(6))
    assert_alike(nets, optimizers)


@pytest.mark.filterwarnings("ignore:.*the weight_decay of")
def test_what_changes_between_steps_is_noticed(uncompiled: list[Any]):
    step, by_parts, nets, optimizers = pair(OPTIMIZERS["SGD nesterov"], [(rt.L1(0.1), {})])
    data = batches(24)
    schedulers = [StepLR(o, 1, 0.9) for o in optimizers]
    for x, y in data[:6]:
        train(step, by_parts, [(x, y)])
        for scheduler in schedulers:
            scheduler.step()
    assert len(uncompiled) == 1  # a rate compiles nothing
    handles = [rt.MaxNorm(0.2).on(n).attach(o) for n, o in zip(nets, optimizers, strict=True)]
    train(step, by_parts, data[6:10])
    for handle in handles:
        handle.remove()
    train(step, by_parts, data[10:14])
    for n, o in zip(nets, optimizers, strict=True):
        o.param_groups[0]["nesterov"] = False
        n[0].bias.requires_grad_(False)
    train(step, by_parts, data[14:18])
    for n, o in zip(nets, optimizers, strict=True):
        new: Any = nn.Parameter(torch.ones(5, dtype=torch.float64))
        n[0].bias = new
        o.add_param_group({"params": [new], "lr": 0.01})
    train(step, by_parts, data[18:])
    assert step.why_not == ""
    assert_alike(nets, optimizers)


def test_a_state_goes_on_without_it_and_back(uncompiled: list[Any]):
    step, by_parts, nets, optimizers = pair(OPTIMIZERS["Adam fused"], [(rt.L2(0.1), {})])
    data = batches(9)
    train(step, by_parts, data[:4])
    plain = copy.deepcopy(nets[0])
    optimizer = OPTIMIZERS["Adam fused"](plain.parameters())
    optimizer.load_state_dict(copy.deepcopy(optimizers[0].state_dict()))
    rt.L2(0.1).on(plain).attach(optimizer)
    for x, y in data[4:]:
        optimizer.zero_grad()
        F.cross_entropy(plain(x), y).backward()
        optimizer.step()
    train(step, by_parts, data[4:])
    assert_alike([nets[0], plain], [optimizers[0], optimizer])


def test_a_loaded_state_needs_no_step_by_parts(uncompiled: list[Any]):
    """A training that is resumed goes on to the bit, dropout and batch norm included."""

    def net() -> nn.Module:
        return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))

    step, _, nets, optimizers = pair(OPTIMIZERS["RMSprop"], [(rt.L1(0.01), {})], net)
    data = batches(8)
    torch.manual_seed(1)
    for x, y in data[:5]:
        step(x, y)
    drawn = torch.get_rng_state()
    again = copy.deepcopy(nets[0])
    optimizer = OPTIMIZERS["RMSprop"](again.parameters())
    optimizer.load_state_dict(copy.deepcopy(optimizers[0].state_dict()))
    rt.L1(0.01).on(again).attach(optimizer)
    resumed = rt.compile_step(again, F.cross_entropy, optimizer)
    for going, at in ((step, 0), (resumed, 1)):
        torch.set_rng_state(drawn)
        for x, y in data[5:]:
            going(x, y)
        assert going.why_not == "", at
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in nets[0].state_dict().items())


def test_dropout_follows_the_seed():
    ends = []
    for _ in range(2):
        step, _, nets, _ = pair(
            OPTIMIZERS["SGD"], [], lambda: nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.5), nn.Linear(8, 3))
        )
        torch.manual_seed(7)
        for x, y in batches(4):
            step(x, y)
        assert step.why_not == ""
        ends.append(nets[0].state_dict()["0.weight"])
    assert torch.equal(*ends)
    assert not torch.equal(ends[0], pair(OPTIMIZERS["SGD"])[2][0].state_dict()["0.weight"][:8].new_zeros(8, 6))


def test_no_gradient_is_left_and_none_is_added(uncompiled: list[Any]):
    step, by_parts, nets, optimizers = pair(OPTIMIZERS["SGD"], [(rt.L2(0.1), {})])
    data = batches(6)
    for x, y in data:
        train(step, by_parts, [(x, y)])
        for p in nets[0].parameters():
            assert p.grad is None or x is data[0][0]
            p.grad = torch.ones_like(p)  # of nobody: a step begins without gradients
    assert_alike(nets, optimizers)


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) if x.sum() > 0 else self.layer(-x)


class Sparse(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(9, 3, sparse=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.table((x[:, 0].abs() * 3).long().clamp(max=8))


@pytest.mark.parametrize(
    ("net", "rules", "words"),
    [
        (Branching, [], "branching"),
        (Sparse, [], "table.weight cannot be stepped so"),
        (NETS["dense"], [(rt.SpectralNorm(0.1), {})], "0.weight cannot be stepped so"),
    ],
)
def test_what_cannot_be_compiled_is_made_by_its_parts(net: Callable[[], nn.Module], rules: Rules, words: str):
    step, by_parts, nets, optimizers = pair(OPTIMIZERS["SGD"], rules, net)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        train(step, by_parts, batches(6))
    told = [str(w.message) for w in seen if "compile_step" in str(w.message)]
    assert len(told) == 1
    assert words in told[0]
    assert words in step.why_not
    assert step.why_not in repr(step)
    assert_alike(nets, optimizers)


@pytest.mark.filterwarnings("ignore:compile_step")
def test_weights_of_the_loss_are_stepped(uncompiled: list[Any]):
    head = [nn.Linear(3, 3).double() for _ in range(2)]
    head[1].load_state_dict(head[0].state_dict())
    net, x, y = nn.Linear(6, 3).double(), *batches(1)[0]
    optimizer = optim.SGD([*net.parameters(), *head[0].parameters()], 0.1)
    step = rt.compile_step(net, lambda out, y: F.cross_entropy(head[0](out), y), optimizer)
    step(x, y)
    assert "not the net's" in step.why_not
    assert not torch.equal(head[0].weight, head[1].weight)


def test_an_error_of_the_net_is_the_nets(uncompiled: list[Any]):
    step, _, nets, _ = pair(OPTIMIZERS["SGD"])
    for x, y in batches(3):
        step(x, y)
    before = copy.deepcopy(nets[0].state_dict())
    with pytest.warns(UserWarning, match="are made by their parts"), pytest.raises(RuntimeError, match="mat1 and mat2"):
        step(torch.zeros(4, 7, dtype=torch.float64), torch.zeros(4, dtype=torch.long))
    assert all(torch.equal(value, before[name]) for name, value in nets[0].state_dict().items())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            (3, F.cross_entropy, optim.SGD([nn.Parameter(torch.ones(1))], 0.1)),
            "net must be a torch.nn.Module, received 3",
        ),
        ((nn.Linear(2, 2), "ce", optim.SGD([nn.Parameter(torch.ones(1))], 0.1)), "loss must be a function"),
        ((nn.Linear(2, 2), F.mse_loss, optim.Adadelta([nn.Parameter(torch.ones(1))])), "received Adadelta"),
        ((nn.Linear(2, 2), F.mse_loss, 5), "optimizer must be a torch.optim.Optimizer, received int"),
    ],
)
def test_what_is_refused(given: Any, words: str):
    with pytest.raises(TypeError, match=words):
        rt.compile_step(*given)
