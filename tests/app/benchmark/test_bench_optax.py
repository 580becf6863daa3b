"""The rules that the benchmark writes by hand in optax make the steps of this library's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from benchmark.by_optax import NAMES, is_dense, jax_step, optax_prices, optax_table, penalty_of
from benchmark.nets import NETS, NetCase, stack
from benchmark.rules import RULES
from benchmark.settings import Settings
from benchmark.timing import Spread
from benchmark.variants import Training

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(autouse=True)
def jax(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    pytest.importorskip("jax")
    pytest.importorskip("optax")


@pytest.mark.parametrize("rule", ["L2", "L1", "GroupLasso"])
def test_gradients_are_those_of_this_library(rule: str):
    import jax.numpy as jnp

    w, nothing = torch.randn(5, 3), (jnp.zeros((3, 5)), jnp.zeros(5))
    added = penalty_of(rule)
    found, _ = added.update([nothing], added.init([nothing]), [(jnp.asarray(w.T.numpy()), jnp.ones(5))])
    penalty: Any = RULES[rule].rule
    torch.testing.assert_close(torch.as_tensor(found[0][0].T.tolist()), penalty.grad(w), rtol=1e-5, atol=0)
    assert not found[0][1].any()


@pytest.mark.parametrize("rule", [None, "MaxNorm"])
def test_steps_are_those_of_this_library(rule: str | None):
    case = stack(3, 8)
    step, weights = jax_step(case, rule)  # which makes one
    ours = Training(case)
    if rule is not None:
        RULES[rule].rule.on(ours.net).attach(ours.optimizer)
    for _ in range(4):
        step()
    for _ in range(5):
        ours.step()
    layers = [m for m in ours.net.modules() if isinstance(m, nn.Linear)]
    before = [m for m in Training(case).net.modules() if isinstance(m, nn.Linear)]
    for (kernel, bias), layer, first in zip(weights(), layers, before, strict=True):
        for there, here, start in ((kernel.T, layer.weight, first.weight), (bias, layer.bias, first.bias)):
            moved = torch.as_tensor(there.tolist()) - start.detach()
            torch.testing.assert_close(moved, here.detach() - start.detach(), rtol=1e-2, atol=1e-6)


def test_only_nets_of_dense_layers_take_part():
    assert [case.name for case in NETS if not is_dense(case)] == ["cnn"]


def test_a_price():
    cases: list[NetCase] = [stack(2, 4)]
    (found,) = optax_prices(Settings(device=torch.device("cpu"), rounds=2, block=0.001, nets=cases))
    assert set(found.ratios) == set(NAMES)
    assert found.rounds == 2
    assert all(isinstance(ratio, Spread) and ratio.median > 0 for ratio in found.ratios.values())
    assert optax_table([found]).splitlines()[-1].startswith("| 2 × dense 4 |")
