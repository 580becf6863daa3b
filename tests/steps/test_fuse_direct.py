"""Compiled functions that are called without dynamo: what they receive, with the compiler's graph run eagerly."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor

from regtorch.steps.one_pass.direct import Direct

MASK = torch.tensor([1.0, 0.0, 1.0])


@pytest.fixture(autouse=True)
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The graphs that were compiled."""
    found: list[Any] = []

    def compile_(graph: Any, examples: Any, config_patches: Any) -> Any:
        found.append(graph)
        return graph

    module = import_module("torch._inductor.compile_fx")  # which has a function of the same name
    monkeypatch.setattr(module, "compile_fx", compile_)
    return found


def move(weights: list[Tensor], pairs: list[Tensor]) -> None:
    for i, w in enumerate(weights):
        w.copy_(w + MASK * pairs[2 * i] - pairs[2 * i + 1])


def test_later_calls_take_their_own_tensors_and_those_of_the_function(graphs: list[Any]):
    direct = Direct(move)
    for call in range(3):
        w, a, b = torch.full((3,), float(call)), torch.rand(3), torch.rand(3)
        expected = w + MASK * a - b
        direct([w], [a, b])
        assert torch.equal(w, expected)
    assert len(graphs) == 1


def test_a_tensor_that_is_given_twice_is_refused_before_anything_moves():
    w, a = torch.ones(3), torch.rand(3)
    with pytest.raises(RuntimeError, match="share a tensor"):
        Direct(move)([w], [a, a])
    assert torch.equal(w, torch.ones(3))
