"""The dims of one unit, said by `dim`."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import regtorch as rt
from strategies import weights
from ways import close

DIMS = st.sampled_from([0, 1, -1, (0, 2), (1, 2), [0, 1], (2, 1, 0)])


def units_first(w: Tensor, dim: int | tuple[int, ...] | list[int]) -> Tensor:
    """The (units, fan_in) matrix."""
    dims = [d % w.ndim for d in ([dim] if isinstance(dim, int) else dim)]
    kept = [d for d in range(w.ndim) if d not in dims]
    return w.permute(*kept, *dims).reshape(-1, math.prod(w.shape[d] for d in dims))


@given(w=weights(shapes=[(4, 3, 5), (1, 2, 6)]), dim=DIMS, step=st.floats(1e-3, 1), data=st.data())
def test_dim_names_the_dims_of_a_unit(w: Tensor, dim: int | tuple[int, ...], step: float, data: st.DataObject):
    rule, plain = rt.GroupLasso(0.3, dim=dim), rt.GroupLasso(0.3)
    close(rule(w), plain(units_first(w, dim)))
    close(units_first(rule.grad(w), dim), plain.grad(units_first(w, dim)))
    into = torch.ones_like(w)
    rule.add_grad_(w, into, 2.0)
    close(into, 1 + 2 * rule.grad(w))
    steps = step * torch.rand(w.shape, generator=torch.Generator().manual_seed(data.draw(st.integers(0, 999)))).double()
    close(units_first(rule.prox(w, step), dim), plain.prox(units_first(w, dim), step))
    close(units_first(rule.prox(w, steps), dim), plain.prox(units_first(w, dim), units_first(steps, dim)))


@pytest.mark.parametrize(
    "module", [nn.Linear(4, 3), nn.ConvTranspose2d(4, 6, 3, groups=2)], ids=lambda m: type(m).__name__
)
def test_a_given_dim_is_in_torchs_layout(module: nn.Module):
    module.double()
    w = module.weight
    close(rt.GroupLasso(1.0, dim=0).on(module)(), math.sqrt(w.shape[0]) * torch.linalg.vector_norm(w, dim=0).sum())
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    rt.GroupLasso(1e3, dim=0).on(module).attach(optimizer, proximal=True)
    w.grad = torch.zeros_like(w)
    optimizer.step()
    assert (w == 0).all()


@pytest.mark.parametrize("dim", ["0", True, (), [1.0], 2.5, (0, None)])
def test_a_dim_that_is_no_dim_is_refused(dim: object):
    with pytest.raises(TypeError, match="GroupLasso: dim must be None, an int or several ints, received"):
        rt.GroupLasso(0.1, dim=dim)


@pytest.mark.parametrize("dim", [2, -3, (0, -2)])
def test_a_dim_that_the_weight_has_not_is_refused(dim: int | tuple[int, ...]):
    rule = rt.GroupLasso(0.1, dim=dim)
    for use in (rule, rule.grad, lambda w: rule.prox(w, 0.1), rt.GroupLasso(0.0, dim=dim)):
        with pytest.raises(ValueError, match="GroupLasso: dim must name dims of the weight, each once, received dim="):
            use(torch.ones(2, 2))


def test_alike_penalties_of_other_dims_are_not_summed():
    net = nn.Linear(3, 2)
    both = rt.GroupLasso(0.1).on(net) + rt.GroupLasso(0.1, dim=0).on(net)
    with pytest.raises(ValueError, match="the proximal step of the sum of GroupLasso and GroupLasso"):
        both.attach(torch.optim.SGD(net.parameters(), lr=0.1), proximal=True)


@given(w=weights(shapes=[(6, 4), (6, 2, 3)]), blocks=st.sampled_from([1, 2, 3, 6]), data=st.data())
def test_blocks_are_units_that_follow_each_other(w: Tensor, blocks: int, data: st.DataObject):
    """A block is one unit of the reshaped weight."""
    rule, plain = rt.GroupLasso(0.3, blocks=blocks), rt.GroupLasso(0.3)
    groups = w.reshape(6 // blocks, -1)
    close(rule(w), plain(groups))
    close(rule.grad(w), plain.grad(groups).view(w.shape))
    into = torch.ones_like(w)
    rule.add_grad_(w, into, 2.0)
    close(into, 1 + 2 * rule.grad(w))
    steps = torch.rand(w.shape, generator=torch.Generator().manual_seed(data.draw(st.integers(0, 999)))).double()
    for step in (0.2, steps):
        of_groups = step.reshape(groups.shape) if isinstance(step, Tensor) else step
        close(rule.prox(w, step), plain.prox(groups, of_groups).view(w.shape))
    close(rule.emptied_by(w), plain.emptied_by(groups))
    both = rt.SparseGroupLasso(0.2, 0.3, blocks=blocks)
    close(both(w), rt.L1(0.2)(w) + rule(w))
    close(both.prox(w, 0.1), rule.prox(rt.L1(0.2).prox(w, 0.1), 0.1))
    if w.ndim == 2:
        columns = rt.GroupLasso(0.3, dim=0, blocks=blocks)
        close(columns(w.T.contiguous()), rule(w))
        close(columns.prox(w.T, 0.2), rule.prox(w, 0.2).T)


def test_whole_heads_go_to_zero():
    """Eight numbers a head: rows of the projections there, columns of the one back."""
    torch.manual_seed(0)
    there, back = nn.Linear(16, 32, bias=False).double(), nn.Linear(32, 16, bias=False).double()
    with torch.no_grad():
        there.weight[8:16] *= 0.01
        back.weight[:, 8:16] *= 0.01
    for net, dim in ((there, None), (back, 0)):
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        reg = rt.GroupLasso(0.05, dim=dim, blocks=8).on(net)
        reg.attach(optimizer, proximal=True)
        net.weight.grad = torch.zeros_like(net.weight)
        optimizer.step()
        heads = net.weight.detach() if dim is None else net.weight.detach().T
        assert [bool((head == 0).all()) for head in heads.split(8)] == [False, True, False, False]
        assert "blocks=8" in reg.receipt()


@pytest.mark.parametrize("blocks", [True, 2.0, "2", None])
def test_blocks_that_are_no_count_are_refused(blocks: object):
    with pytest.raises(TypeError, match="GroupLasso: blocks must be a whole number of at least 1, received"):
        rt.GroupLasso(0.1, blocks=blocks)
    with pytest.raises(
        ValueError,
        match="GroupLasso: blocks must be a whole number of at least 1, received 0; 1 is a",
    ):
        rt.SparseGroupLasso(0.1, blocks=0)


@pytest.mark.parametrize(("shape", "dim"), [((5, 4), None), ((4, 5), 0), ((4,), None), ((4, 4, 4), 0)])
def test_units_that_make_no_whole_blocks_are_refused(shape: tuple[int, ...], dim: int | None):
    rule = rt.GroupLasso(0.1, dim=dim, blocks=2)
    for use in (rule, rule.grad, lambda w: rule.prox(w, 0.1), rule.emptied_by, rule.scaled(0.0)):
        with pytest.raises(ValueError, match="GroupLasso: blocks must divide the weight's units, which must be in"):
            use(torch.ones(shape))


def test_alike_penalties_of_other_blocks_are_not_summed():
    net = nn.Linear(3, 2)
    both = rt.GroupLasso(0.1).on(net) + rt.GroupLasso(0.1, blocks=2).on(net)
    with pytest.raises(ValueError, match="the proximal step of the sum of GroupLasso and GroupLasso"):
        both.attach(torch.optim.SGD(net.parameters(), lr=0.1), proximal=True)
