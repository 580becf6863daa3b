"""`rt.diagnose` of several outputs and losses, weights of samples, and nets with a loss of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import regtorch as rt
from doctor_cases import grave
from doctor_patients import Then, mlp, shallow, vectors


class TwoOutputs(nn.Module):
    """Classes, whose head is an ill one, and a number."""

    def __init__(self, form: Callable[[Tensor, Tensor], Any], *behind: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(20, 32), nn.ReLU())
        self.classes, self.number = nn.Sequential(nn.Linear(32, 4), *behind), nn.Linear(32, 1)
        self.form = form

    def forward(self, x: Tensor) -> Any:
        hidden = self.body(x)
        return self.form(self.classes(hidden), self.number(hidden))


def by_key(a: Tensor, b: Tensor) -> dict[str, Tensor]:
    return {"class": a, "size": b}


def in_order(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    return a, b


def of_both(form: Callable[[Tensor, Tensor], Any], flat: bool = False) -> list[Any]:
    return [(x, form(y, x[:, 0] if flat else x[:, :1])) for x, y in vectors()]


@pytest.mark.parametrize(("form", "name", "flat"), [(by_key, "size", False), (in_order, "1", True)])
def test_each_output_is_examined_with_its_loss(form: Any, name: str, flat: bool):
    losses = form("cross_entropy", nn.MSELoss())
    assert grave(rt.diagnose(TwoOutputs(form), losses, of_both(form))) == {}
    found = rt.diagnose(TwoOutputs(form, nn.Softmax(1)), losses, of_both(form, flat=True))
    graves = {finding.cause: finding.where for finding in found if finding.severity == "severe"}
    first = "class" if name == "size" else "0"
    assert graves["target_broadcast"] == f"output {name}: targets"
    assert graves["softmax_before_cross_entropy"] == f"output {first}: head"


def test_one_loss_of_both_is_told_and_one_of_one_output_is_examined():
    def of_all(o: Any, y: Any) -> Tensor:
        return F.cross_entropy(o["class"], y["class"]) + F.mse_loss(o["size"], y["size"])

    (found,) = rt.diagnose(TwoOutputs(by_key, nn.Softmax(1)), of_all, of_both(by_key))
    assert (found.cause, found.where, found.severity) == ("outputs_together", "class, size", "info")

    def of_one(o: Any, y: Any) -> Tensor:
        return F.cross_entropy(o["class"], y["class"])

    found = rt.diagnose(TwoOutputs(by_key, nn.Softmax(1)), of_one, of_both(by_key))
    assert found[0].cause == "softmax_before_cross_entropy"


def test_a_loss_without_its_output_is_told():
    found = rt.diagnose(TwoOutputs(by_key), {"class": "cross_entropy", "width": "mse"}, of_both(by_key))
    assert found[0].cause == "loss_fails"
    assert "loss_fn has a loss for output 'width', received class, size" in found[0].why


def weighted(output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    return (F.cross_entropy(output, target, reduction="none") * weight).mean()


@pytest.mark.parametrize("loss", ["cross_entropy", weighted])
def test_weights_of_samples_act_and_hide_nothing_of_the_head(loss: Any):
    batches = [(x, y, torch.ones(len(y))) for x, y in vectors()]
    assert grave(rt.diagnose(shallow(), loss, batches)) == {}
    assert rt.diagnose(mlp(nn.Softmax(1)), loss, batches)[0].cause == "softmax_before_cross_entropy"
    weightless = [(x, y, 0 * weight) for x, y, weight in batches]
    assert rt.diagnose(shallow(), loss, weightless)[0].cause == "no_gradient_reaches"


class OwnLoss(nn.Module):
    def __init__(self, form: Callable[[Tensor, Tensor], Any], *behind: nn.Module) -> None:
        super().__init__()
        self.inner, self.form = mlp(*behind), form

    def forward(self, x: Tensor, labels: Tensor) -> Any:
        output = self.inner(x)
        return self.form(F.cross_entropy(output, labels), output)


@pytest.mark.parametrize("form", [lambda loss, o: {"loss": loss, "logits": o}, in_order])
def test_a_net_with_its_own_loss_needs_none(form: Any):
    torch.manual_seed(0)
    batches = [{"x": x, "labels": y} for x, y in vectors()]
    assert grave(rt.diagnose(OwnLoss(form), None, batches)) == {}
    found = rt.diagnose(OwnLoss(form, nn.Softmax(1)), None, batches)
    assert found[0].cause == "softmax_before_cross_entropy"
    with pytest.raises(ValueError, match="loss_fn is None, and Then returns no loss"):
        rt.diagnose(Then(mlp(), before=lambda x: x["x"]), None, batches)
