"""What the doctor advises has been tried: it makes the loss fall."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Adam

import regtorch as rt
from doctor_cases import causes
from doctor_patients import Batches, changed, diagnosed, filled, mlp, numbers, targets, vectors
from regtorch.doctor.observe.attempt import attempt
from regtorch.doctor.observe.last_activation import last_activation, without_last_activation
from regtorch.doctor.observe.subject import Subject


def binary(change: Callable[[Tensor], Tensor] = lambda y: y) -> Batches:
    """Labels of 0 and 1 that can be learnt."""
    return targets(lambda y: change((y > 1).long()))


def falls(model: nn.Module, loss: Callable[[Tensor, Tensor], Tensor], batches: Batches) -> bool:
    optimizer = Adam(model.parameters(), lr=1e-2)

    def whole() -> float:
        with torch.no_grad():
            return sum(float(loss(model(x), y)) for x, y in batches)

    before = whole()
    for x, y in batches:
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()
    return whole() < 0.97 * before


# A softmax over one output

ONE: dict[str, tuple[Callable[[], nn.Module], Callable[..., Tensor], Callable[[Tensor], Tensor]]] = {
    "class numbers": (lambda: mlp(out=1), nn.CrossEntropyLoss(), lambda y: y),
    "what the doctor once advised": (lambda: mlp(out=1), nn.CrossEntropyLoss(), lambda y: y.float().view(-1, 1)),
    "all of class 0": (lambda: mlp(out=1), nn.CrossEntropyLoss(), lambda y: y * 0),
    "a column of numbers": (lambda: mlp(out=1), nn.CrossEntropyLoss(), lambda y: y.view(-1, 1)),
}


@pytest.mark.parametrize("case", ONE)
def test_a_cross_entropy_over_one_output_is_constant(case: str):
    make, loss, change = ONE[case]
    torch.manual_seed(0)
    model = make()
    found = diagnosed(model, loss=loss, batches=binary(change))
    assert (found[0].cause, found[0].severity) == ("constant_loss", "severe")
    call = "BCEWithLogitsLoss()(output, target.to(output.dtype).view_as(output))"
    assert f"`{call}`" in found[0].change
    assert "tried" in found[0].change
    advised = lambda output, target: eval(call, {"BCEWithLogitsLoss": nn.BCEWithLogitsLoss}, locals())  # noqa: E731
    assert falls(model, advised, binary(change))


@pytest.mark.parametrize("loss", [nn.BCELoss(), nn.MSELoss()])
def test_a_softmax_over_one_unit_is_found_behind_any_loss(loss: nn.Module):
    torch.manual_seed(0)
    model = mlp(nn.Softmax(1), out=1)
    found = diagnosed(model, loss=loss, batches=binary(lambda y: y.float().view(-1, 1)))
    assert (found[0].cause, found[0].severity) == ("softmax_over_one_unit", "severe")
    assert "the softmax by a sigmoid (tried" in found[0].change
    assert falls(mlp(nn.Sigmoid(), out=1), loss, binary(lambda y: y.float().view(-1, 1)))


def test_a_softmax_over_one_unit_for_numbers_is_left_out():
    found = diagnosed(mlp(nn.Softmax(1), out=1), loss=F.mse_loss, batches=numbers())
    assert found[0].cause == "softmax_over_one_unit"
    assert found[0].change.startswith("Remove the softmax (tried")


CONSTANT: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "times 0": lambda output, y: 0 * F.cross_entropy(output, y),
    "other numbers": lambda output, y: output.sum() * 0 + y.float().mean(),
    "its sign": lambda output, y: output.sum(1).sign().square().mean(),
}


@pytest.mark.parametrize("case", CONSTANT)
def test_a_loss_that_no_output_changes(case: str):
    found = diagnosed(mlp(), loss=CONSTANT[case])
    assert (found[0].cause, found[0].severity) == ("constant_loss", "severe")


@pytest.mark.parametrize("out", [1, 4])
def test_a_loss_that_changes_is_not_constant(out: int):
    loss = F.cross_entropy if out > 1 else F.binary_cross_entropy_with_logits
    batches = vectors() if out > 1 else binary(lambda y: y.float().view(-1, 1))
    assert "constant_loss" not in causes(diagnosed(mlp(out=out), loss=loss, batches=batches))


def test_gradients_that_are_all_0_are_found_and_learnt_ones_are_not_blamed():
    rounded = diagnosed(mlp(), loss=lambda output, y: F.cross_entropy(output.round(), y))
    assert (rounded[0].cause, rounded[0].severity) == ("no_gradient_reaches", "severe")
    torch.manual_seed(0)
    model = nn.Linear(20, 4)
    x = [x for x, _ in vectors()]
    with torch.no_grad():
        batches = [(part, model(part).argmax(1)) for part in x]
        model.weight.mul_(1e4)
        model.bias.mul_(1e4)
    found = diagnosed(model, loss=nn.MultiMarginLoss(margin=1e-3), batches=batches)
    assert "no_gradient_reaches" not in causes(found)


# Targets

FORMS: dict[str, tuple[Callable[[], nn.Module], Callable[..., Tensor], Callable[[Tensor], Tensor], str]] = {
    "floats": (mlp, F.cross_entropy, lambda y: y.float(), "target.long()"),
    "a column": (mlp, F.cross_entropy, lambda y: y[:, None], "target.flatten()"),
    "a column of floats": (mlp, F.cross_entropy, lambda y: y[:, None].float(), "target.flatten().long()"),
    "whole numbers": (
        lambda: mlp(out=1), nn.BCEWithLogitsLoss(), lambda y: (y > 1).long()[:, None], "target.to(output.dtype)"
    ),
    "whole numbers in a row": (
        lambda: mlp(out=1),
        nn.BCEWithLogitsLoss(),
        lambda y: (y > 1).long(),
        "target.to(output.dtype).view_as(output)",
    ),
    "rows of whole numbers": (mlp, F.cross_entropy, lambda y: F.one_hot(y, 4), "target.argmax(1)"),
    "from 1": (mlp, F.cross_entropy, lambda y: y + 1, "target - 1"),
    "from -3": (mlp, F.cross_entropy, lambda y: y - 3, "target + 3"),
    "with gaps": (mlp, F.cross_entropy, lambda y: y * 10, "torch.searchsorted(torch.tensor([0, 10, 20, 30]), target)"),
}  # fmt: skip


@pytest.mark.parametrize("case", FORMS)
def test_the_form_that_is_advised_is_taken_and_learnt(case: str):
    make, loss, change, advice = FORMS[case]
    torch.manual_seed(0)
    model = make()
    batches = targets(change)
    found = diagnosed(model, loss=loss, batches=batches)
    assert found[0].severity == "severe"
    assert f"`{advice}`" in found[0].change
    assert "tried" in found[0].change

    def advised(output: Tensor, target: Tensor) -> Tensor:
        return loss(output, eval(advice, {"torch": torch}, {"output": output, "target": target}))

    assert falls(model, advised, batches)


def test_outputs_for_more_classes_are_advised_where_there_are_more():
    found = diagnosed(mlp(out=3), batches=targets(lambda y: y))
    assert found[0].cause == "label_range"
    assert found[0].change.startswith("Give the net 4 outputs")


# Rates, strengths and others


@pytest.mark.parametrize(("kind", "lr"), [(SGD, 1e-8), (SGD, 1e8), (SGD, 30.0), (Adam, 10.0), (Adam, 1e-9)])
def test_the_rate_that_is_advised_lets_the_loss_fall(kind: Any, lr: float):
    torch.manual_seed(0)
    model = mlp()
    found = diagnosed(model, by=kind(model.parameters(), lr=lr))
    new = next(f.remedy.value for f in found if f.remedy is not None and f.remedy.what == "rate")
    assert isinstance(new, float)
    subject = Subject.admit(model, F.cross_entropy, vectors(), kind(model.parameters(), lr=new), ())
    assert attempt(subject, own_rate=True).learns
    assert grave_rates(diagnosed(model, by=kind(model.parameters(), lr=new))) == []


def grave_rates(found: list[rt.Finding]) -> list[str]:
    return [f.cause for f in found if f.severity == "severe"]


@pytest.mark.parametrize(
    "rule", [rt.L2(0.5), rt.L1(0.05), rt.GroupLasso(0.3), rt.L2(1e6), rt.Orthogonal(9.0)], ids=repr
)
def test_the_strength_that_is_advised_is_weak_enough(rule: Any):
    torch.manual_seed(0)
    model = mlp()
    (found, *_) = diagnosed(model, rule)
    assert found.severity == "severe"
    assert "tried" in found.change
    assert found.remedy is not None
    (weaker,) = found.remedy.rules
    assert isinstance(weaker, rt.Penalty)
    assert weaker.strengths["lam"] == pytest.approx(found.remedy.value)
    assert found.remedy.python() == f"rt.{weaker!r}.on(model)"
    assert not {"penalty_dominates", "collapse", "diverges"} & set(causes(diagnosed(model, weaker)))


@pytest.mark.parametrize(
    ("activation", "data", "loss"),
    [(nn.Softmax(1), vectors, F.cross_entropy), (nn.Sigmoid(), vectors, F.cross_entropy)],
    ids=["softmax", "sigmoid"],
)
def test_what_ends_the_net_is_left_out_by_trial(activation: nn.Module, data: Any, loss: Any):
    (found, *_) = diagnosed(mlp(activation), loss=loss, batches=data())
    assert "(tried: 6 steps on the first batch take its loss from" in found.change


def test_copies_are_drawn_anew_by_trial():
    found = diagnosed(changed(mlp(), filled(0)))
    assert found[0].cause == "symmetric_units"
    assert "tried: 6 steps" in found[0].change


@pytest.mark.parametrize("inplace", [False, True])
def test_the_last_activation_is_left_out_and_put_back(inplace: bool):
    torch.manual_seed(0)
    bare = mlp()
    model = nn.Sequential(bare, nn.ReLU(inplace=inplace))
    x = vectors()[0][0]
    assert last_activation(lambda: model(x)) == "relu"
    with without_last_activation(model):
        assert torch.equal(model(x), bare(x))
    assert torch.equal(model(x), bare(x).relu())
    assert last_activation(lambda: bare(x)) == ""


def test_what_is_tried_leaves_nothing_behind():
    torch.manual_seed(0)
    model = mlp(nn.Softmax(1))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    subject = Subject.admit(model, F.cross_entropy, vectors(), Adam(model.parameters()), [rt.L2(0.1)])
    assert attempt(subject, without_last_activation).learns
    torch.testing.assert_close(dict(model.named_parameters()), before, rtol=0, atol=0)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert all(p.grad is None for p in model.parameters())


def test_weights_that_a_penalty_has_emptied_are_to_start_anew():
    """The strength that is advised does not bring them back: from new weights the net learns under it."""
    torch.manual_seed(0)
    model = mlp()
    optimizer = Adam(model.parameters(), lr=1e-2)
    (before, *_) = diagnosed(model, rt.L1(0.05), by=optimizer)
    assert "more than halves the norm" in before.why
    assert "new weights" not in before.change
    handle = rt.L1(0.05).on(model).attach(optimizer)
    x, y = vectors()[0]
    for _ in range(200):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    handle.remove()
    (after, *_) = diagnosed(model, rt.L1(0.05), by=optimizer)
    assert after.cause == before.cause == "collapse"
    assert "keeps the norm of 3 of 3 weights below half of what it would be without" in after.why
    assert after.change.endswith("Start again from new weights, too: these are small already.")
