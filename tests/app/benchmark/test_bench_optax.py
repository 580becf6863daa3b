"""The rules that the benchmark writes by hand in optax make the steps of this library's.

JAX is asked by a process of its own: one that has started it must not be forked, as other tests are.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from torch import nn

from benchmark.by_optax import NAMES, is_dense
from benchmark.nets import NETS, stack
from benchmark.rules import RULES
from benchmark.variants import Training
from places import ROOT

PENALTIES, STEPPED = ("L2", "L1", "GroupLasso"), (None, "MaxNorm")
_ASK = """
import json, sys
import jax.numpy as jnp
import torch
from benchmark.by_optax import jax_step, optax_prices, optax_table, penalty_of
from benchmark.nets import stack
from benchmark.settings import Settings
from dataclasses import asdict

w = jnp.asarray(json.loads(sys.argv[1])).T
told = {"gradients": {}, "weights": {}}
for rule in ("L2", "L1", "GroupLasso"):
    added = penalty_of(rule)
    found, _ = added.update([(w * 0, w[0] * 0)], added.init([(w, w[0])]), [(w, w[0])])
    told["gradients"][rule] = [part.T.tolist() for part in found[0]]
for rule in (None, "MaxNorm"):
    step, weights = jax_step(stack(3, 8), rule)  # which makes one
    for _ in range(4):
        step()
    told["weights"][str(rule)] = [[part.T.tolist() for part in layer] for layer in weights()]
(price,) = optax_prices(Settings(device=torch.device("cpu"), rounds=2, block=0.001, nets=[stack(2, 4)]))
told |= {"price": asdict(price), "table": optax_table([price])}
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def w() -> torch.Tensor:
    return torch.randn(5, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def told(w: torch.Tensor) -> dict[str, Any]:
    """What the process says."""
    if absent := [name for name in ("jax", "optax") if find_spec(name) is None]:
        pytest.skip(f"{', '.join(absent)} not installed")
    path = os.pathsep.join([str(ROOT / "scripts"), str(ROOT / "src")])
    done = subprocess.run(
        [sys.executable, "-c", _ASK, json.dumps(w.tolist())],
        env={**os.environ, "PYTHONPATH": path, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("rule", PENALTIES)
def test_gradients_are_those_of_this_library(rule: str, w: torch.Tensor, told: dict[str, Any]):
    kernel, bias = told["gradients"][rule]
    penalty: Any = RULES[rule].rule
    torch.testing.assert_close(torch.tensor(kernel), penalty.grad(w), rtol=1e-5, atol=0)
    assert not any(bias)


@pytest.mark.parametrize("rule", STEPPED)
def test_steps_are_those_of_this_library(rule: str | None, told: dict[str, Any]):
    ours, start = Training(stack(3, 8)), Training(stack(3, 8))
    if rule is not None:
        RULES[rule].rule.on(ours.net).attach(ours.optimizer)
    for _ in range(5):
        ours.step()
    layers, first = ([m for m in t.net.modules() if isinstance(m, nn.Linear)] for t in (ours, start))
    for parts, layer, before in zip(told["weights"][str(rule)], layers, first, strict=True):
        for there, here, w in zip(parts, layer.parameters(), before.parameters(), strict=True):
            moved = here.detach() - w.detach()
            torch.testing.assert_close(torch.tensor(there) - w.detach(), moved, rtol=1e-2, atol=1e-6)


def test_only_nets_of_dense_layers_take_part():
    assert [case.name for case in NETS if not is_dense(case)] == ["cnn"]


def test_a_price(told: dict[str, Any]):
    price = told["price"]
    assert set(price["ratios"]) == set(NAMES)
    assert price["rounds"] == 2
    assert all(ratio["median"] > 0 for ratio in price["ratios"].values())
    assert told["table"].splitlines()[-1].startswith("| 2 × dense 4 |")
