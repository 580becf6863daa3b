"""What `fisher` and `lam_max` refuse, and weights on which the loss does not depend."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

import regtorch as rt
from ways import close

X, Y = torch.arange(8.0).view(4, 2), torch.ones(4, 1)


def squared(output: Tensor, target: Tensor) -> Tensor:
    return (output.float() - target).square().mean()


@pytest.mark.parametrize("wrap", [parametrizations.weight_norm, parametrizations.spectral_norm])
def test_computed_weights_are_refused_where_their_gradient_would_read_0(wrap: Callable[[nn.Module], nn.Module]):
    net = wrap(nn.Linear(2, 1))
    with pytest.raises(TypeError, match="fisher: the weight 'weight' is computed by a parametrization"):
        rt.fisher(net, squared, [(X, Y)])
    assert list(rt.fisher(net, squared, [(X, Y)], select="all -name:weight")) == ["bias"]
    with pytest.raises(TypeError, match="lam_max: the weight 'weight' is computed by a parametrization"):
        rt.lam_max(net, squared, [(X, Y)], rt.L1())


class Half(nn.Module):
    """Of its layers the second is not used."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.idle = nn.Linear(2, 1), nn.Linear(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.used(x)


def test_a_weight_that_the_loss_does_not_depend_on():
    net = Half()
    found = rt.lam_max(net, squared, [(X, Y)], rt.L1())
    assert found == rt.lam_max(net, squared, [(X, Y)], rt.L1(select="name:used.weight")) > 0
    assert rt.lam_max(net, squared, [(X, Y)], rt.L1(select="name:idle.weight")) == 0
    assert (rt.fisher(net, squared, [(X, Y)])["idle.weight"] == 0).all()


def test_a_strength_is_never_found_from_nan():
    net = nn.Linear(2, 1)
    with pytest.raises(ValueError, match="lam_max: the gradient of the loss must be finite at weight = 0"):
        rt.lam_max(net, squared, [(X * math.nan, Y)], rt.L1())


def test_many_batches_in_half_precision():
    torch.manual_seed(0)
    net, x, y = nn.Linear(2, 1, dtype=torch.bfloat16), torch.randn(512, 2).bfloat16(), torch.ones(512, 1)
    pairs = [(x[i : i + 1], y[i : i + 1]) for i in range(512)]
    each = torch.stack([squared_gradient(net, *pair) for pair in pairs]).double().mean(0)
    assert rt.lam_max(net, squared, pairs, rt.L1()) == pytest.approx(float(each.abs().max()), rel=1e-5)


def squared_gradient(net: nn.Linear, x: Tensor, y: Tensor) -> Tensor:
    """Of the loss by the weight, where that is 0."""
    return torch.autograd.grad(squared(x @ (w := torch.zeros_like(net.weight).requires_grad_()).T + net.bias, y), w)[0]


def test_groups_of_several_units_are_emptied_by_their_own_strength():
    g = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rule = rt.SparseGroupLasso(0.0, 1.0, blocks=3)
    close(rule.emptied_by(g), rt.GroupLasso(1.0, blocks=3).emptied_by(g))
    lam = float(rt.SparseGroupLasso(0.5, 1.0, blocks=3).emptied_by(g))
    for factor, empty in ((1 + 1e-9, True), (1 - 1e-6, False)):
        stepped = rt.SparseGroupLasso(0.5 * lam * factor, lam * factor, blocks=3).prox(-g, 1.0)
        assert bool((stepped == 0).all()) == empty


def test_of_a_part_no_strength_is_known():
    net = nn.Linear(2, 1)
    with pytest.raises(TypeError, match="empties a part of a weight is unknown"):
        rt.lam_max(net, squared, [(X, Y)], rt.masked(rt.L1(), torch.ones(1, 2) > 0))


@pytest.mark.parametrize("batches", [(X[:2], Y[:2]), [{"x": X, "y": Y}], [(X, Y, Y)]])
def test_batches_are_pairs(batches: Any):
    for find in (rt.fisher, lambda *given: rt.lam_max(*given, rt.L1())):
        with pytest.raises(
            TypeError, match=r"batches must be a list or loader of pairs .* received a .* in it; give \[\("
        ):
            find(nn.Linear(2, 1), squared, batches)
