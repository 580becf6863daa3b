"""Masks that fit no weight, and rules that know no such part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn, optim

import regtorch as rt


def bind(masks: Any, rule: Any = None) -> Callable[[], object]:
    return lambda: rt.masked(rt.L1(0.1) if rule is None else rule, masks).on(nn.Sequential(nn.Linear(3, 2)))


TRUE = torch.ones(2, 3) > 0


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (bind({"0.weight": TRUE.T}), ValueError, r"mask of '0.weight' must have the weight's shape \(2, 3\), received"),
        (
            bind({"0.weight": TRUE.float()}),
            TypeError,
            "mask of '0.weight' must be a bool tensor, received torch",
        ),
        (bind({"0.weight": TRUE.numpy()}), TypeError, "must be a bool tensor, received ndarray; compare"),
        (bind(TRUE.long()), TypeError, "masked: masks must be a bool tensor, received torch.int64"),
        (
            bind({"0.weight": TRUE}, rt.L1(0.1, select="kernel|")),
            rt.SelectionError,
            "has an empty alternative: 'kernel",
        ),
        (bind({}), ValueError, "masked: masks is empty"),
        (bind({"weight": TRUE}), rt.SelectionError, "matches none of the network's weights; there are: 0.weight"),
        (
            bind({"0.weight": TRUE, "1.weight": TRUE}),
            ValueError,
            "select 'kernel' matches, received '1.weight'",
        ),
        (
            bind({"0.weight": TRUE, "0.bias": TRUE[0]}),
            ValueError,
            "select 'kernel' matches, received '0.bias'",
        ),
        (
            bind({"0.weight": TRUE}, rt.Activity(rt.L1(0.1), select="all")),
            TypeError,
            "rule must be a penalty or a constraint",
        ),
        (bind({"0.weight": torch.eye(2, 3) > 0}, rt.SpectralMax()), ValueError, "some rows times some columns"),
        (lambda: rt.masked(rt.L1(0.1), {"w": TRUE})(torch.ones(2, 3)), TypeError, "bind it with .on"),
        (
            lambda: rt.masked(rt.masked(rt.L1(0.1), TRUE), TRUE),
            TypeError,
            "is masked already; combine the masks, first & second",
        ),
        (lambda: rt.masked(rt.masked(rt.NonNeg(), TRUE), TRUE), TypeError, "is masked already"),
        (lambda: rt.masked(rt.L1(0.1), TRUE)(torch.ones(3, 2)), ValueError, r"mask of 'w' .* shape \(3, 2\), received"),
    ],
)
def test_bad_masks(make: Callable[[], object], error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        make()


def test_what_has_no_proximal_step_is_refused_when_it_is_attached():
    net = nn.Linear(3, 2)
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    with pytest.raises(TypeError, match="Orthogonal has no proximal step"):
        rt.masked(rt.Orthogonal(0.1), {"weight": TRUE}).on(net).attach(optimizer, proximal=True)
    with pytest.raises(ValueError, match="NuclearNorm: the mask must be True on a submatrix"):
        rt.masked(rt.NuclearNorm(0.1), {"weight": torch.eye(2, 3) > 0}).on(net).attach(optimizer, proximal=True)
    with pytest.raises(TypeError, match="one step size for the entire weight"):
        rt.masked(rt.NuclearNorm(0.1), {"weight": TRUE}).on(net).attach(optim.Adam(net.parameters()), proximal=True)
    rt.masked(rt.L1(0.1), {"weight": TRUE}).on(net).attach(optim.Adam(net.parameters()), proximal=True)


def test_largest_counts_weights_without_a_mask_too():
    net = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 9))
    rule = rt.L1(0.1, select="kernel largest:1")
    assert rt.masked(rule, {"1.weight": torch.ones(9, 2) > 0}).on(net).names() == ["1.weight"]
    with pytest.raises(ValueError, match="select 'kernel largest:1' matches, received '0.weight'"):
        rt.masked(rule, {"0.weight": TRUE}).on(net)


@pytest.mark.parametrize("rule", [rt.MaxNorm(1.0), rt.NonNeg(), rt.MaxNorm(1.0, dim=0)])
def test_a_part_is_told_apart_and_asks_for_units_as_its_rule_does(rule: rt.Constraint):
    part = rule.within(TRUE)
    assert repr(part) == f"{rule!r} where a mask is True"
    assert part.by_unit is rule.by_unit
