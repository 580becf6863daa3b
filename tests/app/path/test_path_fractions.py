"""Strengths of a path as fractions of the one that empties the weights."""

from __future__ import annotations

import pytest
import torch

import regtorch as rt
from path_runs import composed, ready
from regtorch.app.ground.errors import RunError
from regtorch.app.path.members import members_of

MLP = ("model=mnist_mlp", "optimizer=sgd")


@pytest.mark.parametrize(
    ("reg", "rule"),
    [("l1", rt.L1()), ("group_lasso", rt.GroupLasso()), ("sparse_group_lasso", rt.SparseGroupLasso(1.0, 1.0))],
)
def test_a_path_of_fractions(reg: str, rule: rt.Penalty):
    start = ready(*MLP, f"reg={reg}", "path.lams=[0,frac:0.01:1:3]", "trainer.precision=32-true")
    net, part = start.origins[0].net, start.data.splits.train
    x, y = part.batch(torch.arange(len(part)))
    found = rt.lam_max(net, start.task.loss, [(x, y)], rule)
    lams = [member.values["lam"] for member in start.members]
    assert lams == pytest.approx([0, 0.01 * found, 0.1 * found, found], rel=1e-5)
    assert [penalty.strengths["lam"] for penalty in start.penalties if penalty] == lams
    (remark,) = [remark for remark in start.remarks if remark.startswith("path.lams")]
    assert f"fractions of {lams[-1]:.6g}, which empties the weights of the untrained net" in remark


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("reg=l2", "path.lams=frac:0.1:1:3"), "path.lams: L2 has no strength known to empty a weight"),
        (("reg=orthogonal", "path.lams=frac:0.1:1:3"), "Orthogonal has no strength known to empty a weight"),
        (("reg=l1l2", "reg.l1=0.1", "path.lams=frac:0.1:1:3"), "fractions need strengths that depend on reg.lam alone"),
        (("reg=sparse_group_lasso", "reg.l1=0.1", "path.lams=frac:0.1:1:3"), "omit reg.l1 and reg.convention"),
    ],
)
def test_what_has_no_fractions(overrides: tuple[str, ...], said: str):
    with pytest.raises(RunError, match=said):
        ready(*MLP, *overrides)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("path.lams=frac:0.1:1", "path.lams: expected frac:FIRST:LAST:COUNT such as frac:0.001:1:4"),
        ("path.lams=frac:0:1:3", r"expected ends above 0 of a frac range, .*\[0,frac:1e-6:1:3\]"),
        ("path.rates=frac:0.1:1:3", "path.rates: expected a list such as"),
    ],
)
def test_refused_before_data_are_read(override: str, said: str):
    with pytest.raises(RunError, match=said):
        members_of(composed("path", "reg=l1", override)[0])
