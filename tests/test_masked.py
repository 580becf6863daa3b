"""Rules on a part of each weight."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn, optim
from torch.nn import functional as F

import regtorch as rt
from cases import CONSTRAINTS, PENALTIES, ConstraintCase, PenaltyCase, every
from nets import dense, tied
from ways import close

SUBMATRIX = ("NuclearNorm", "SpectralMax")  # whose steps know no other part


def mask_for(name: str, w: Tensor, seed: int = 0) -> Tensor:
    """A mask of some numbers; of some rows times some columns where the rule needs it."""
    generator = torch.Generator().manual_seed(seed)
    if name in SUBMATRIX:
        rows, columns = (torch.rand(size, generator=generator) > 0.4 for size in w.flatten(1).shape)
        return (rows[:, None] & columns).view(w.shape)
    return torch.rand(w.shape, generator=generator) > 0.4


def masked_net(rule: Any, seed: int = 0) -> tuple[Any, nn.Module, dict[str, Tensor], Tensor, Tensor]:
    net, x, y = dense()
    masks = {name: mask_for(rule.name, w, seed) for name, w in rt.select.weights(net, "kernel").items()}
    return rt.masked(rule, masks), net, masks, x, y


@every(PENALTIES)
@given(seed=st.integers(0, 999), step=st.floats(1e-3, 1))
def test_a_penalty_acts_where_the_mask_is_true(case: PenaltyCase, seed: int, step: float):
    w = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    mask = mask_for(case.rule.name, w, seed)
    rule, seen = rt.masked(case.rule, mask), w.where(mask, 0.0)
    close(rule(w), case.rule(seen))
    g = rule.grad(w)
    assert (g[~mask] == 0).all()
    assert torch.equal(g[mask], case.rule.grad(seen)[mask])
    leaf = w.clone().requires_grad_()
    rule(leaf).backward()
    close(g, leaf.grad)
    into = torch.ones_like(w)
    rule.add_grad_(w, into, 2.0)
    close(into, 1 + 2 * g)
    if case.rule.has_prox:
        z = rule.prox(w, step)
        assert torch.equal(z[~mask], w[~mask])
        assert torch.equal(z[mask], case.rule.prox(seen, step)[mask])
    else:
        with pytest.raises(TypeError, match=f"{case.rule.name} has no proximal step"):
            rule.prox(w, step)
    close(rule.scaled(2.0)(w), 2 * rule(w))
    assert not rule.scaled(0.0).active
    assert rule.weight_decay is None


@every(CONSTRAINTS)
@given(seed=st.integers(0, 999))
def test_a_constraint_projects_where_the_mask_is_true(case: ConstraintCase, seed: int):
    w = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 3
    mask = mask_for(case.rule.name, w, seed)
    rule = rt.masked(case.rule, mask)
    z = rule(w)
    assert torch.equal(z[~mask], w[~mask])
    for old, new, of in zip(w, z, mask, strict=True):
        if of.any() and case.rule.name not in SUBMATRIX:  # as if the others were not there
            close(new[of], case.rule(old[of]))
    if case.rule.name in SUBMATRIX:
        part = w[mask.any(1)][:, mask.any(0)]
        close(z[mask], case.rule(part).flatten())
    assert torch.equal(rule.project_(w.clone()), z)
    if case.idempotent:
        assert torch.equal(rule(z), z)
        assert rule.violation(z) <= 1e-12
    assert rule.violation(w) >= 0
    if not mask.any():
        assert rule.violation(w) == 0


@every(PENALTIES)
def test_the_three_ways_agree(case: PenaltyCase):
    results = []
    for way in (1, 2, 3):
        rule, net, _, x, y = masked_net(case.rule)
        reg = rule.on(net)
        optimizer = optim.SGD(net.parameters(), lr=0.1, fused=True)
        if way == 3:
            reg.attach(optimizer)
        loss = F.cross_entropy(net(x), y)
        (loss + reg() if way == 1 else loss).backward()
        if way == 2:
            reg.add_grad_()
        optimizer.step()
        results.append([p.detach() for p in net.parameters()])
        close(sum(reg.by_weight().values()), reg())
    close(results[1], results[0], rtol=1e-12, atol=1e-13)
    close(results[2], results[0], rtol=1e-12, atol=1e-13)


@every({name: case for name, case in PENALTIES.items() if case.rule.has_prox})
def test_proximal_steps(case: PenaltyCase):
    rule, net, masks, x, y = masked_net(case.rule)
    twin = copy.deepcopy(net)
    optimizer, other = (optim.SGD(n.parameters(), lr=0.1) for n in (net, twin))
    rule.on(net).attach(optimizer, proximal=True)
    for n, o in ((net, optimizer), (twin, other)):
        F.cross_entropy(n(x), y).backward()
        o.step()
    for name, w in twin.named_parameters():
        mask = masks.get(name, torch.zeros_like(w, dtype=torch.bool))
        expected = torch.where(mask, case.rule.prox(w.detach().where(mask, 0.0), 0.1), w.detach())
        close(net.get_parameter(name).detach(), expected)


@every(CONSTRAINTS)
def test_bound_constraints(case: ConstraintCase):
    rule, net, masks, *_ = masked_net(case.rule)
    before = {name: w.detach().clone() for name, w in net.named_parameters()}
    bound = rule.on(net)
    bound.project_()
    for name, w in net.named_parameters():
        mask = masks.get(name)
        expected = before[name] if mask is None else rt.masked(case.rule, mask)(before[name])
        assert torch.equal(w.detach(), expected)
    assert not case.idempotent or bound.violation() < 1e-12


def test_masks_lie_as_the_weights_do():
    """Of a transposed convolution, whose units are elsewhere."""
    up = nn.ConvTranspose2d(4, 6, 3, groups=2).double()
    mask = torch.zeros(up.weight.shape, dtype=torch.bool)
    mask[:2, 1] = True  # one unit
    mask[2:, 0, 0, 0] = True  # a part of another
    g = up.weight.detach().clone()
    reg = rt.masked(rt.GroupLasso(0.1), {"weight": mask}).on(up)
    fan_in = 2 * 9
    close(reg(), 0.1 * fan_in**0.5 * (g[:2, 1].norm() + g[2:, 0, 0, 0].norm()))
    rt.masked(rt.MaxNorm(0.01), {"weight": mask}).on(up).project_()
    close(up.weight[:2, 1].norm(), torch.tensor(0.01, dtype=torch.float64))
    close(up.weight[2:, 0, 0, 0].norm(), torch.tensor(0.01, dtype=torch.float64))
    assert torch.equal(up.weight[~mask], g[~mask])


def test_l2_is_not_lent_to_a_fused_optimizer_and_leaves_the_rest_to_the_bit():
    net = nn.Linear(3, 2)
    before = net.weight.detach().clone()
    mask = torch.tensor([[True, False, False], [False, True, False]])
    optimizer = optim.SGD(net.parameters(), lr=0.1, fused=True)
    rt.masked(rt.L2(0.5), {"weight": mask}).on(net).attach(optimizer)
    for p in net.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    assert torch.equal(net.weight[~mask], before[~mask])
    close(net.weight.detach()[mask], 0.9 * before[mask])


def test_start_points_and_their_fisher_information():
    for rule in (rt.L2SP(0.3), rt.EWC(0.3, {"weight": torch.full((2, 3), 2.0)})):
        net = nn.Linear(3, 2).bfloat16()
        mask = torch.tensor([[True, False, True], [False, True, False]])
        reg = rt.masked(rule, {"weight": mask}).on(net)
        assert reg() == 0
        with torch.no_grad():
            net.weight.add_(1.0)
        start = net.weight.detach() - reg.rule_of(reg.selection.chosen[0]).rule.start
        close(reg(), (0.3 * (2 if isinstance(rule, rt.EWC) else 1)) * start[mask].square().sum())
        reg.add_grad_()
        assert (net.weight.grad.masked_select(~mask) == 0).all()
        assert net.weight.grad.dtype == torch.bfloat16


def test_sums_scales_and_receipts():
    rule, net, masks, *_ = masked_net(rt.L1(0.1))
    reg = rule.on(net)
    total = reg + rt.L2(0.1, select="bias").on(net)
    total.scale = 0.5
    close(total(), 0.5 * (reg() + rt.L2(0.1, select="bias").on(net)()))
    count = int(masks["0.weight"].sum())
    receipt = rt.masked(rt.L1(0.1), {"0.weight": masks["0.weight"]}).on(net).receipt()
    assert f"1 weight, {count} parameters" in receipt
    assert f"0.weight  5×6  {count} of 30" in receipt
    assert "masked(L1(lam=0.1), <0.weight>)" in receipt
    assert "2.weight  4×5" in receipt.partition("left out:")[2]
    constraint = rt.masked(rt.MaxNorm(1.0), {"0.weight": masks["0.weight"]}).on(net)
    assert f"0.weight  5×6  {count} of 30" in constraint.receipt()
    assert list(constraint.by_weight()) == ["0.weight"]


def test_masks_are_copied_at_binding():
    net = nn.Linear(3, 2)
    mask = torch.ones(2, 3, dtype=torch.bool)
    rule = rt.masked(rt.L1(0.1), {"weight": mask})
    reg = rule.on(net)
    mask.zero_()
    close(reg(), rt.L1(0.1)(net.weight))
    assert rule.on(net)() == 0


def test_one_mask_for_all_that_select_names():
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)).double()
    mask = torch.eye(3) > 0
    close(rt.masked(rt.L1(0.1), mask).on(net)(), sum(0.1 * layer.weight.diag().abs().sum() for layer in net))
    with pytest.raises(ValueError, match=r"the mask of '0.bias' must have the weight's shape \(3,\), received"):
        rt.masked(rt.L1(0.1, select="all"), mask).on(net)


def test_a_tied_weight_has_one_mask_under_any_of_its_names():
    net, *_ = tied()
    mask = torch.rand(net.wte.weight.shape, generator=torch.Generator().manual_seed(0)) > 0.5
    for name in ("wte.weight", "head.weight"):
        reg = rt.masked(rt.L1(0.1, select="embedding"), {name: mask}).on(net)
        close(reg(), 0.1 * net.wte.weight[mask].abs().sum())
    with pytest.raises(ValueError, match="masks must hold one for the weight wte.weight = head.weight, received 2"):
        rt.masked(rt.L1(0.1, select="embedding"), {"wte.weight": mask, "head.weight": mask}).on(net)


def test_what_unfreezes_later_has_its_mask():
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    net[1].requires_grad_(False)
    mask = torch.eye(3) > 0
    reg = rt.masked(rt.L1(0.1), {"0.weight": mask, "1.weight": mask}).on(net)
    assert list(reg.by_weight()) == ["0.weight"]
    net[1].requires_grad_(True)
    assert list(reg.by_weight()) == ["0.weight", "1.weight"]
    close(reg(), 0.1 * (net[0].weight.diag().abs().sum() + net[1].weight.diag().abs().sum()))


def test_other_weights_may_be_selected():
    rule, net, *_ = masked_net(rt.MaxNorm(1.0))
    fewer = rule.selecting("|".join(f"{part} -name:4.weight" for part in rule.select.split("|")))
    assert list(rule.on(net).by_weight()) == ["0.weight", "2.weight", "4.weight"]
    assert list(fewer.on(net).by_weight()) == ["0.weight", "2.weight"]


def test_copies_and_equality():
    rule = rt.masked(rt.L1(0.1), {"weight": torch.ones(2, 3) > 0})
    assert rule == rt.masked(rt.L1(0.1), rule.masks) != rt.masked(rt.L1(0.2), rule.masks)
    for other in (copy.deepcopy(rule), pickle.loads(pickle.dumps(rule))):
        assert repr(other) == repr(rule) == "masked(L1(lam=0.1), <weight>)"
        assert other.on(nn.Linear(3, 2))() > 0
    reg = rule.on(net := nn.Linear(3, 2))
    reg.attach(optimizer := optim.SGD(net.parameters(), lr=0.1))
    with pytest.raises(ValueError, match="is already attached to this SGD"):
        rule.on(net).attach(optimizer)


def test_checked_as_a_rule_of_ones_own():
    mask = torch.tensor([[True, False, True], [False, True, True]])
    rt.testing.check_penalty(rt.masked(rt.SparseGroupLasso(0.1, 0.2), mask), shapes=[(2, 3)])
    rt.testing.check_penalty(rt.masked(rt.FusedLasso(0.1, 0.2), mask), shapes=[(2, 3)])
    rt.testing.check_penalty(rt.masked(rt.L2SP(0.1), mask), shapes=[(2, 3)])
    rt.testing.check_constraint(rt.masked(rt.Simplex(), mask), shapes=[(2, 3)])


def test_compiled_steps():
    results = []
    for compiled in (False, True):
        torch._dynamo.reset()
        rule, net, _, x, y = masked_net(rt.GroupLasso(0.1))
        constraint = masked_net(rt.MaxNorm(0.5))[0]
        optimizer = optim.SGD(net.parameters(), lr=0.1)
        rule.on(net).attach(optimizer)
        constraint.on(net).attach(optimizer)
        step = torch.compile(optimizer.step, backend="eager") if compiled else optimizer.step
        for _ in range(2):
            optimizer.zero_grad()
            F.cross_entropy(net(x), y).backward()
            step()
        results.append([p.detach() for p in net.parameters()])
    close(results[0], results[1], rtol=1e-12, atol=1e-12)


def test_what_is_left_out_breaks_no_bound():
    rule = rt.masked(rt.Box(None, 0.5), torch.tensor([True, False]))
    assert rule.violation(torch.tensor([0.25, 7.0])) == 0
    assert repr(rule) == "masked(Box(low=None, high=0.5), <a mask of shape (2,)>)"
