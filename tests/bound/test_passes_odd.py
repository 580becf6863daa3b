"""Passes of odd nets: outputs in dicts, modules by themselves, copies in midst of a pass, errors that are caught."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import regtorch as rt

close = torch.testing.assert_close
X = torch.randn(8, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


class Named(nn.Module):
    """Puts out a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, dtype=torch.float64))

    def forward(self, x: Tensor) -> dict[str, Any]:
        return {"y": x * self.weight, "count": 3, "mask": x > 0, "more": (x + self.weight, None)}


def test_outputs_in_dicts_are_handed_on_whole_and_followed():
    model = Named()
    expected = model(X)
    reg = rt.Activity(rt.L2(1.0), select="type:Named").on(model)
    found = model(X)
    assert found.keys() == expected.keys()
    assert found["count"] == 3
    assert torch.equal(found["mask"], X > 0)
    assert type(found["more"]) is tuple
    assert found["more"][1] is None
    close(found["y"], expected["y"])
    one = expected["y"].square().sum() / 8
    other = model(X[:4])
    both = one + other["y"].square().sum() / 4
    close(reg(), both)
    del found, other
    model(X)
    kept = model(X)
    close(reg(), one)  # what was dropped does not count
    assert kept["y"].requires_grad


def test_a_module_by_itself_without_gradients():
    model = nn.Tanh()
    reg = rt.Activity(rt.L2(1.0), select="all").on(model)
    with torch.no_grad():
        first, second = model(X), model(X[:4])
        both = first.square().sum() / 8 + second.square().sum() / 4
        close(reg(), both)
        del first, second
        model(X[:4])
        third = model(X)
        close(reg(), third.square().sum() / 8)


def test_a_copy_made_in_the_midst_of_a_pass_watches_itself():
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    copies: list[nn.Module] = []
    model[1].register_forward_hook(lambda *_: copies.append(copy.deepcopy(model)) if not copies else None)
    model.reg = rt.Activity(rt.L2(1.0), select="type:Linear").on(model)
    model(X)
    expected = model.reg().item()
    twin = copies[0]
    with pytest.raises(RuntimeError, match="run the forward pass first"):
        twin.reg()
    twin(X)
    assert twin.reg().item() == pytest.approx(expected)


class Raises(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise ValueError


class Tries(nn.Module):
    """Goes another way where a part of it raises."""

    def __init__(self) -> None:
        super().__init__()
        self.risky = nn.Sequential(nn.Linear(4, 2), Raises())
        self.safe = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        try:
            return self.risky(x)
        except ValueError:
            return self.safe(x)


def test_an_error_that_the_net_catches_ends_no_pass():
    model = Tries().double()
    expected = (model.risky[0](X).square().sum() + model.safe(X).square().sum()) / 8
    reg = rt.Activity(rt.L2(1.0), select="type:Linear").on(model)
    for _ in range(2):
        out = model(X)
        close(reg(), expected)
        assert out.requires_grad
