"""Constraints on the weights of a module."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import regtorch as rt
from cases import CONSTRAINTS, ConstraintCase, every
from nets import channels_last, dense, everything
from ways import close


@every(CONSTRAINTS)
def test_projection_is_the_rule_on_each_weight(case: ConstraintCase):
    model, *_ = dense()
    bound = case.rule.on(model)
    expected = {
        name: case.rule(p.detach()) if name.endswith("weight") else p.detach().clone()
        for name, p in model.named_parameters()
    }
    bound.project_()
    close(dict(model.named_parameters()), expected, rtol=0, atol=0)
    if case.idempotent:
        assert bound.violation() < 1e-12
    assert type(case.rule).__name__ in bound.receipt()


@every(CONSTRAINTS)
def test_projection_in_either_memory_format(case: ConstraintCase):
    (model, *_), (other, *_) = everything(), channels_last()
    for net in (model, other):
        case.rule.on(net).project_()
    close(dict(other.named_parameters()), dict(model.named_parameters()), rtol=1e-12, atol=1e-12, check_stride=False)


def test_explicit_dims_are_torch_dims_also_when_transposed():
    up = nn.ConvTranspose2d(4, 6, 3).double()
    expected = rt.MaxNorm(0.1, dim=(2, 3))(up.weight.detach())
    rt.MaxNorm(0.1, dim=(2, 3)).on(up).project_()
    close(up.weight.detach(), expected)


def test_a_computed_weight_cannot_be_projected():
    model = nn.Sequential(parametrizations.weight_norm(nn.Linear(3, 2)), nn.Linear(2, 2))
    with pytest.raises(TypeError, match="'0.weight' is computed by a parametrization .*-name:0.weight"):
        rt.MaxNorm(1.0).on(model)
    rt.MaxNorm(1.0, select="kernel -name:0.weight").on(model).project_()


def test_a_weight_parametrized_after_binding_is_not_projected_in_silence():
    model = nn.Linear(3, 2)
    bound = rt.MaxNorm(0.1).on(model)
    parametrizations.weight_norm(model)
    with pytest.raises(TypeError, match="computed by a parametrization"):
        bound.project_()


def test_dims_that_do_not_fit_show_at_binding():
    with pytest.raises(ValueError, match=r"dim must name dims of the weight.*\(2, 3\)"):
        rt.MaxNorm(1.0, dim=(1, 2, 3)).on(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(3, 2)))


def test_a_weight_flattened_after_binding_is_refused():
    model = nn.Linear(3, 2)
    reg = rt.L2(0.1).on(model)
    model.weight = nn.Parameter(model.weight.detach().flatten())
    with pytest.raises(LookupError, match=r"another number of dims since L2.* bound to it; bind the rule again$"):
        reg()
    model.weight._fsdp_flattened = True
    with pytest.raises(LookupError, match="sharded by FSDP since L2.* bound to it; FSDP1 flattens weights"):
        reg()


def test_how_far_weights_lie_outside():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[3.0, 4.0], [0.0, 1.0]]))
        model[1].weight.fill_(0.0)
    bound = rt.MaxNorm(1.0).on(model)
    assert bound.violation() == 4
    assert not bound.violation().requires_grad
    assert bound.receipt().startswith("MaxNorm(max_value=1.0): 2 weights, 6 parameters, outside the set by at most 4\n")
    assert "    0.weight  2×2  4  4  unit dim 0\n    1.weight  1×2  2  0  unit dim 0\n" in bound.receipt()


def test_a_projection_leaves_weights_of_other_optimizers_alone():
    model = nn.Linear(2, 2)
    nn.init.constant_(model.weight, 3.0)
    bound = rt.MaxNorm(1.0).on(model)
    bound.project_owned({id(model.bias)})
    assert (model.weight == 3.0).all()
    bound.project_owned({id(model.weight)})
    assert bound.violation() <= 1e-6
