"""`rt.diagnose` on whole set-ups: ill ones, healthy ones, and what cannot be trained on."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import regtorch as rt


def net(*, head: nn.Module | None = None) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 4), head or nn.Identity())


def batches(count: int = 8, scale: float = 1.0) -> list[tuple[Tensor, Tensor]]:
    torch.manual_seed(1)
    x = torch.randn(count, 32, 20)
    return [(part * scale, (part[:, :4] * 3).argmax(1)) for part in x]


def causes(found: list[rt.Finding], *severities: str) -> list[str]:
    return [finding.cause for finding in found if finding.severity in (severities or ("severe",))]


@pytest.mark.parametrize("rule", [rt.L2(1e-5), rt.L1(1e-6), rt.GroupLasso(1e-6), rt.MaxNorm(3.0)], ids=repr)
@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.SGD])
def test_a_healthy_set_up_has_nothing_severe(rule: rt.Penalty | rt.Constraint, kind: type[torch.optim.Optimizer]):
    model = net()
    optimizer = kind(model.parameters(), lr=1e-3 if kind is torch.optim.Adam else 0.1)
    assert causes(rt.diagnose(model, F.cross_entropy, batches(), optimizer, [rule]), "severe", "warning") == []


def test_the_most_to_blame_comes_first():
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)
    found = rt.diagnose(model, F.cross_entropy, batches(scale=1e-3), optimizer, [rt.L2(0.05, select="all")])
    assert causes(found) == ["input_scale", "penalty_dominates", "penalty_dominates"]
    assert [f.where.startswith("optimizer.weight_decay") for f in found[1:3]] == [False, True]
    assert {"bias_penalised", "decay_twice"} <= set(causes(found, "warning"))
    order = ["severe", "warning", "info"]
    assert [f.severity for f in found] == sorted((f.severity for f in found), key=order.index)


def test_rules_may_be_bound_and_scaled():
    model = net()
    bound = rt.L2(0.5).on(model) + rt.L1(1e-6).on(model)
    assert "penalty_dominates" in causes(rt.diagnose(model, F.cross_entropy, batches(), None, [bound]))
    bound.scale = 1e-5
    assert causes(rt.diagnose(model, F.cross_entropy, batches(), None, [bound])) == []


def test_a_softmax_before_the_cross_entropy():
    model = net(head=nn.Softmax(1))
    assert causes(rt.diagnose(model, F.cross_entropy, batches()))[0] == "softmax_before_cross_entropy"


def test_labels_that_the_net_has_no_output_for_are_told_before_any_step():
    found = rt.diagnose(net(), F.cross_entropy, [(x, y + 2) for x, y in batches()])
    assert causes(found) == ["label_range"]


def test_batches_of_one_with_a_batch_norm():
    model = nn.Sequential(nn.Linear(20, 8), nn.BatchNorm1d(8), nn.Linear(8, 4))
    found = rt.diagnose(model, F.cross_entropy, [(x[:1], y[:1]) for x, y in batches()])
    assert causes(found) == ["batch_of_one"]


def test_nothing_is_left_behind():
    model = net()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    model.train()
    model[0].eval()
    before = copy.deepcopy((model.state_dict(), optimizer.state_dict(), torch.get_rng_state()))
    data = batches()
    torch.set_rng_state(before[2])
    rt.diagnose(model, F.cross_entropy, data, optimizer, [rt.L2(0.1), rt.MaxNorm(1.0)])
    torch.testing.assert_close(
        (model.state_dict(), optimizer.state_dict(), torch.get_rng_state()), before, rtol=0, atol=0
    )
    assert [m.training for m in model] == [False, True, True, True]
    assert all(p.grad is None for p in model.parameters())
    assert not any(m._forward_hooks for m in model.modules())


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("proximal", [False, True])
def test_rules_that_are_attached_act_once_and_stay_attached(proximal: bool, fails: bool):
    found: list[list[rt.Finding]] = []
    for attached in (False, True):
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        for x, y in batches(2):  # an optimizer with a state, gradients that are there
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        penalty, bound = rt.L1(0.02).on(model), rt.MaxNorm(2.0).on(model)
        handles = [penalty.attach(optimizer, proximal=proximal), bound.attach(optimizer)] if attached else []
        before = copy.deepcopy((model.state_dict(), optimizer.state_dict(), [p.grad for p in model.parameters()]))
        hooks = len(optimizer._optimizer_step_pre_hooks), len(optimizer._optimizer_step_post_hooks)
        examined = [(x[:, :7] if fails else x, y) for x, y in batches()]
        found.append(rt.diagnose(model, F.cross_entropy, examined, optimizer, [penalty, bound]))
        torch.testing.assert_close(
            (model.state_dict(), optimizer.state_dict(), [p.grad for p in model.parameters()]), before, rtol=0, atol=0
        )
        assert (len(optimizer._optimizer_step_pre_hooks), len(optimizer._optimizer_step_post_hooks)) == hooks
        assert hooks == ((1, 1) if attached else (0, 0))
        for handle in handles:
            handle.remove()
    assert found[0] == found[1]
    assert causes(found[1])[0] == ("model_fails" if fails else "collapse")


def test_where_a_net_fails_is_named():
    model = nn.Sequential(nn.Linear(20, 8), nn.Sequential(nn.ReLU(), nn.Linear(9, 4)))
    (found,) = rt.diagnose(model, F.cross_entropy, batches())
    assert (found.cause, found.where, found.numbers) == ("model_fails", "1.1", {"batch": 0})
    assert "mat1 and mat2" in found.why


WRONG = {
    "LBFGS": (lambda m: (torch.optim.LBFGS(m.parameters()), batches()), ValueError, "LBFGS runs several passes"),
    "a dict": (lambda m: (None, [{"x": 1}]), TypeError, "must be a pair .* received a dict"),
    "a list of targets": (lambda m: (None, [(torch.zeros(2, 20), [0, 1])]), TypeError, "pair .* of tensors"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_examined_is_an_error(case: str):
    make, kind, message = WRONG[case]
    model = net()
    optimizer, given = make(model)
    with pytest.raises(kind, match=message):
        rt.diagnose(model, F.cross_entropy, given, optimizer)


def test_lazy_weights_are_to_be_made_first():
    with pytest.raises(ValueError, match="lazy weights; call it on a batch first"):
        rt.diagnose(nn.LazyLinear(4), F.cross_entropy, batches())


def test_rules_that_are_attached_need_not_be_given():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 3))
    x = torch.randn(4, 32, 20)
    batches = [(batch, batch[:, :3].argmax(1)) for batch in x]
    optimizer = torch.optim.Adam(net.parameters())
    penalty, bound = rt.L2(1.0), rt.MaxNorm(3.0)
    penalty.on(net).attach(optimizer)
    bound.on(net).attach(optimizer)
    alone = rt.diagnose(net, F.cross_entropy, batches, optimizer)
    assert alone[0].cause in ("penalty_dominates", "collapse")
    assert rt.diagnose(net, F.cross_entropy, batches, optimizer, [penalty, bound]) == alone, "none counts twice"
