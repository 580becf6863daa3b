"""Rules that earlier versions pickled load, although their classes have moved and hold more."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch
from torch import nn

import regtorch as rt

EARLIER = {
    "regtorch.penalties.elementwise": "regtorch.penalties.elastic_net",
    "regtorch.penalties.group_lasso": "regtorch.penalties.sparse_group_lasso",
    "regtorch.bound.activity": "regtorch.activity",
    "regtorch.bound.passes": "regtorch.passes",
    "regtorch.bound.penalty": "regtorch.bind",
    "regtorch.bound.constraint": "regtorch.bound_constraint",
    "regtorch.bound.terms": "regtorch.terms",
    "regtorch.select.layout": "regtorch.units",
    "regtorch.select.weight": "regtorch.weights",
}


def earlier(rule: object) -> bytes:
    """A pickle in which each class is where it was."""
    data = pickle.dumps(rule, protocol=2)
    for here, there in EARLIER.items():
        data = data.replace(f"c{here}\n".encode(), f"c{there}\n".encode())
    assert any(f"c{there}\n".encode() in data for there in EARLIER.values())
    return data


def a_net() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


@pytest.mark.parametrize(
    "rule",
    [rt.ElasticNet(0.1, 0.2), rt.SparseGroupLasso(0.1, 0.2), rt.Activity(rt.Hoyer(0.1), select="type:ReLU")],
    ids=repr,
)
def test_rules(rule: Any):
    loaded = pickle.loads(earlier(rule))
    assert repr(loaded) == repr(rule)
    assert torch.equal(loaded(torch.ones(2, 3)), rule(torch.ones(2, 3)))


@pytest.mark.parametrize("less", [(), ("_rules",), ("_rules", "counts", "changes"), ("_chosen", "_dormant")], ids=str)
def test_bound_rules(less: tuple[str, ...]):
    """With the net that is in the pickle; also those of versions that knew less about the weights."""
    net = a_net()
    penalty, bound = rt.L2(0.1).on(net), rt.MaxNorm(0.1).on(net)
    penalty.scale = 2.0
    value = (penalty + rt.L1(0.1).on(net))()
    for rule in (penalty, bound):
        for name in less:
            del vars(rule)[name]
    total, limit = pickle.loads(earlier((penalty + rt.L1(0.1).on(net), bound)))
    assert torch.equal(total(), value)
    limit.project_()
    assert all(weight.norm(dim=1).max() <= 0.1 + 1e-6 for weight in (limit.model[0].weight, limit.model[2].weight))


def test_a_bound_activity():
    net = a_net()
    reg = pickle.loads(earlier(rt.Activity(rt.L2(0.1), select="type:ReLU").on(net)))
    x = torch.ones(5, 3)
    reg.model(x)
    hidden = torch.relu(net[0](x))
    torch.testing.assert_close(reg(), 0.1 * hidden.square().sum() / 5)
