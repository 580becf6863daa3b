"""Tensors of other kinds than those compiled for are refused, by torch's check and by our own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import regtorch as rt
from regtorch.steps.one_pass import kinds
from regtorch.steps.one_pass.kinds import Kinds

OTHERS: dict[str, Callable[[Tensor], Tensor]] = {
    "dtype": lambda t: t.double(),
    "shape": lambda t: t[:3],
    "strides": lambda t: t.t().contiguous().t(),
    "expanded": lambda t: t[:1].expand(4, 3),
    "device": lambda t: t.to("meta"),
    "layout": lambda t: t.to_sparse(),
    "class": nn.Parameter,
}


@pytest.fixture(params=["torch's", "our own"])
def checked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "our own":
        monkeypatch.setattr(kinds, "_checked", lambda tensors: None)


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
def test_another_kind_does_not_fit(checked: None, other: Callable[[Tensor], Tensor]):
    made = Kinds([torch.ones(4, 3), torch.ones(2)])
    assert made.fit([torch.zeros(4, 3), torch.ones(2)])
    assert not made.fit([other(torch.ones(4, 3)), torch.ones(2)])
    assert not made.fit([torch.zeros(4, 3)])


def test_torch_has_the_check():
    assert kinds._checked([torch.ones(2)]) is not None


def test_gradients_change_their_strides(checked: None, uncompiled: list[object]):
    """A pass for each kind is kept, and none writes into a tensor of another."""

    def train(fused: bool) -> Tensor:
        torch.manual_seed(0)
        net = nn.Linear(4, 3).double()
        optimizer = torch.optim.Adam(net.parameters(), 0.1)
        rt.L1(0.1).on(net).attach(optimizer)
        handle = rt.fuse(optimizer) if fused else None
        for step in range(12):
            optimizer.zero_grad()
            F.cross_entropy(net(torch.ones(2, 4, dtype=torch.float64)), torch.tensor([0, 2])).backward()
            assert net.weight.grad is not None
            if step % 3 == 2:
                net.weight.grad = net.weight.grad.t().contiguous().t()
            optimizer.step()
        assert handle is None or not handle.why_not
        return net.weight.detach()

    torch.testing.assert_close(train(True), train(False), rtol=0, atol=1e-12)
    assert len(uncompiled) == 2


@pytest.mark.parametrize("name", ["exp_avg", "step"])
def test_a_state_turns_where_it_is(checked: None, uncompiled: list[object], name: str):
    """Its memory stays the same, so only its kind tells."""
    net = nn.Linear(3, 3)
    optimizer = torch.optim.Adam(net.parameters(), 0.1)
    handle = rt.fuse(optimizer)
    for step in range(6):
        if step == 3:
            state = optimizer.state[net.weight][name]
            state.data = state.data.t() if state.ndim else state.data[None]
        optimizer.zero_grad()
        net(torch.ones(2, 3)).sum().backward()
        optimizer.step()
    assert not handle.why_not
    assert len(uncompiled) == 2  # the turned one is compiled for, the weight with another counter is left out
