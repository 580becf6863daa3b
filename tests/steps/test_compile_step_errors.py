"""Errors of compiled steps, and what cannot be compiled at all."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from test_compile_step import OPTIMIZERS, batches, pair
from torch import nn, optim
from torch.nn import functional as F

import regtorch as rt


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
        (
            (nn.Linear(2, 2), torch.ones(()), optim.SGD([nn.Parameter(torch.ones(1))], 0.1)),
            "received 'Tensor'; give the function, not a value of it$",
        ),
        ((nn.Linear(2, 2), optim.SGD([nn.Parameter(torch.ones(1))], 0.1), F.mse_loss), "received 'SGD'$"),
        ((nn.Linear(2, 2), F.mse_loss, optim.Adadelta([nn.Parameter(torch.ones(1))])), "received Adadelta"),
        ((nn.Linear(2, 2), F.mse_loss, 5), "optimizer must be a torch.optim.Optimizer, received int"),
    ],
)
def test_what_is_refused(given: Any, words: str):
    with pytest.raises(TypeError, match=words):
        rt.compile_step(*given)
