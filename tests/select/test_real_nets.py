"""Well-known architectures: what each role selects is checked in, and a rule does in each what it should.

`python tests/select/test_real_nets.py` writes real_nets.json, where all libraries are installed.
"""

from __future__ import annotations

import json
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import regtorch as rt
from benchmark.real_nets import REAL, RealCase
from regtorch.select.weight import weights_of

pytestmark = pytest.mark.filterwarnings("ignore")
FILE = Path(__file__).with_name("real_nets.json")
_LAM, _RATE, _LARGEST = 0.05, 0.1, 0.2
_BY_NAME = {case.name: case for case in REAL}
_SMALL = ("mobilenet_v3_large",)  # runs with the fast tests
_NETS = [name if name in _SMALL else pytest.param(name, marks=pytest.mark.slow) for name in _BY_NAME]


def roles_of(net: nn.Module) -> dict[str, list[int]]:
    """How many weights, and numbers in them, each role has."""
    weights, numbers = Counter[str](), Counter[str]()
    for weight in weights_of(net):
        weights[weight.role] += 1
        numbers[weight.role] += torch.Size(weight.shape).numel()
    return {role: [weights[role], numbers[role]] for role in sorted(weights)}


def made(name: str) -> tuple[RealCase, nn.Module]:
    case = _BY_NAME[name]
    pytest.importorskip(case.library)
    torch.manual_seed(0)
    return case, case.make().train()


@pytest.mark.parametrize("name", _BY_NAME)
def test_what_each_role_selects(name: str):
    case = _BY_NAME[name]
    pytest.importorskip(case.library)
    with torch.device("meta"):
        net = case.make()
    known = json.loads(FILE.read_text(encoding="utf-8"))
    assert roles_of(net) == known["roles"][name]


def step(name: str, *rules: tuple[Any, dict[str, Any]], decays: bool = False) -> tuple[nn.Module, list[Tensor]]:
    """The net after a step of SGD, and its kernels before."""
    case, net = made(name)
    kernels = list(rt.select.weights(net, "kernel").values())
    chosen = {id(w) for w in kernels}
    groups = [
        {"params": [p for p in net.parameters() if id(p) in chosen], "weight_decay": 2 * _LAM if decays else 0.0},
        {"params": [p for p in net.parameters() if id(p) not in chosen]},
    ]
    optimizer = torch.optim.SGD(groups, _RATE)
    for rule, how in rules:
        rule.on(net).attach(optimizer, **how)
    before = [w.detach().clone() for w in kernels]
    torch.manual_seed(1)
    case.loss(net).backward()
    optimizer.step()
    return net, before


@pytest.mark.parametrize("name", _NETS)
def test_l2_is_the_decay_of_the_kernels(name: str):
    ruled, _ = step(name, (rt.L2(_LAM), {}))
    decayed, _ = step(name, decays=True)
    plain, _ = step(name)
    for (place, p), q, r in zip(ruled.named_parameters(), decayed.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-7, msg=lambda text, place=place: f"{place}: {text}")
        if place not in rt.select.weights(plain, "kernel"):
            torch.testing.assert_close(p, r, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", _NETS)
def test_proximal_l1_makes_zeros_and_max_norm_keeps_to_its_bound(name: str):
    net, before = step(name, (rt.L1(_LAM), {"proximal": True}), (rt.MaxNorm(_LARGEST), {}))
    kernels = rt.select.weights(net, "kernel")
    zeros = sum(int((w == 0).sum()) for w in kernels.values())
    assert zeros > sum(int((w == 0).sum()) for w in before)
    assert float(rt.MaxNorm(_LARGEST).on(net).violation()) <= 1e-6


def _write() -> None:
    roles: dict[str, dict[str, list[int]]] = {}
    for case in REAL:
        with torch.device("meta"):
            roles[case.name] = roles_of(case.make())
    versions = {name: version(name) for name in sorted({case.library for case in REAL})}
    FILE.write_text(json.dumps({"versions": versions, "roles": roles}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    _write()
