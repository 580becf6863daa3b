"""A rule attached to an optimizer adds no graph break to its compiled step, and the step stays the same."""

import warnings

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters
from torch.nn import functional as F

from cases import CONSTRAINTS, PENALTIES, ConstraintCase, PenaltyCase
from regtorch.constraints import Constraint
from regtorch.penalties import Penalty


def train(rule: Penalty | Constraint | None, compiled: bool) -> tuple[list[torch.Tensor], int]:
    """The weights after three steps of SGD, and the graph breaks met."""
    torch._dynamo.reset()
    counters.clear()
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).double()
    x, y = torch.randn(8, 6, dtype=torch.float64), torch.randint(3, (8,))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    if rule is not None:
        rule.on(net).attach(optimizer)
    step = torch.compile(optimizer.step, backend="eager") if compiled else optimizer.step
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's own, of its profiler
            step()
    return [p.detach() for p in net.parameters()], sum(counters["graph_break"].values())


@pytest.fixture(scope="module")
def own_breaks() -> int:
    return train(None, compiled=True)[1]


KINDS = ("L1L2", "GroupLasso", "MaxNorm")  # by number, by unit, and a projection; the others are slow
CASES = [
    pytest.param(case, id=name, marks=[] if name in KINDS else pytest.mark.slow)
    for name, case in {**PENALTIES, **CONSTRAINTS}.items()
]


@pytest.mark.parametrize("case", CASES)
def test_no_graph_break_is_added(case: PenaltyCase | ConstraintCase, own_breaks: int) -> None:
    weights, breaks = train(case.rule, compiled=True)
    torch.testing.assert_close(weights, train(case.rule, compiled=False)[0], rtol=1e-12, atol=1e-12)
    assert breaks <= own_breaks
