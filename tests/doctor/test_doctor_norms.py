"""What the doctor says of batch norm, and of weights whose scale a norm hides."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

import regtorch as rt
from doctor_cases import (
    drawn,
    of,
    said,
    sequential,
    severities,
)
from programs.examples import examples
from regtorch.app.nets import CifarDeep
from regtorch.doctor.measure import normalization
from regtorch.doctor.remedy import Remedy


def test_a_batch_of_one_is_refused_by_batch_norm():
    model = sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))
    found = list(normalization.find(of(model, drawn(1, 4))))
    assert [(f.cause, f.where, f.severity, f.numbers["refused"]) for f in found] == [("batch_of_one", "1", "severe", 1)]
    (found,) = normalization.find(of(model, [*drawn(16, 4), *drawn(1, 4, batches=1)]))
    assert (found.severity, found.numbers["batches_of_one"], found.numbers["batches"]) == ("severe", 1, 5)
    assert "drop_last" in found.change


def test_images_one_by_one_are_each_normalised_alone():
    model = sequential(nn.Conv2d(2, 16, 1), nn.BatchNorm2d(16), nn.Flatten(), nn.Linear(144, 3))
    (found,) = said(normalization.find(of(model, drawn(1, 2, 3, 3))), "batch_of_one")
    assert (found.severity, found.numbers["refused"]) == ("severe", 0)
    assert not said(normalization.find(of(model, [*drawn(16, 2, 3, 3), *drawn(1, 2, 3, 3, batches=1)])), "batch_of_one")


@pytest.mark.parametrize(("batch", "count"), [(2, 1), (4, 1), (8, 0)])
def test_a_small_batch(batch: int, count: int):
    model = sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.Linear(16, 3))
    assert severities(normalization.find(of(model, drawn(batch, 4))), "small_batch_norm") == ["warning"] * count
    without = sequential(nn.Linear(4, 16), nn.LayerNorm(16), nn.Linear(16, 3))
    assert not said(normalization.find(of(without, drawn(batch, 4))), "small_batch_norm")


def test_a_bias_is_useless_directly_before_a_batch_norm():
    shape = 16, 2, 3, 3
    layers = (
        nn.Conv2d(2, 9, 1),
        nn.BatchNorm2d(9),
        nn.Flatten(),
        nn.Linear(81, 12),
        nn.BatchNorm1d(12),
        nn.Linear(12, 3),
    )
    (found,) = said(normalization.find(of(sequential(*layers), drawn(*shape))), "bias_before_norm")
    assert (found.where, found.severity, found.numbers) == ("0.bias, 3.bias", "info", {"layers": 2, "parameters": 21})
    for between in ([nn.Conv2d(2, 9, 1), nn.ReLU()], [nn.Conv2d(2, 9, 1, bias=False)]):
        model = sequential(*between, nn.BatchNorm2d(9), nn.Flatten(), nn.Linear(81, 3))
        assert not said(normalization.find(of(model, drawn(*shape))), "bias_before_norm")


@pytest.mark.parametrize(("norm_first", "layers"), [(True, 7), (False, 0)])
def test_a_function_between_bias_and_batch_norm_makes_it_useful(norm_first: bool, layers: int):
    found = said(
        normalization.find(of(CifarDeep(norm_first=norm_first), drawn(5, 3, 32, 32, batches=1))), "bias_before_norm"
    )
    assert [finding.numbers["layers"] for finding in found] == ([layers] if layers else [])


def test_no_remedy_removes_a_batch_norm_that_helps():
    _, program, _ = examples()["norm_idle"]
    made = program.set_up()
    found = said(rt.diagnose(made.model, made.loss, made.batches, made.optimizer), "norm_idle")
    assert [(f.severity, f.remedy) for f in found] == [("warning", None)]
    assert found[0].numbers["loss_with"] < found[0].numbers["loss_without"]


@pytest.mark.parametrize(("batch", "severity"), [(16, "warning"), (400, "info")])
def test_batch_norm_on_a_handful_of_units(batch: int, severity: str):
    model = sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))
    (found,) = said(normalization.find(of(model, drawn(batch, 4, batches=16))), "norm_idle")
    assert (found.where, found.severity, found.numbers["units"]) == ("1", severity, 5)
    assert found.numbers["noise"] == pytest.approx(batch**-0.5, rel=0.35)
    assert found.remedy == Remedy("no batch norm", ["1"])
    wide = sequential(nn.Linear(4, 50), nn.BatchNorm1d(50), nn.ReLU(), nn.Linear(50, 3))
    assert not said(normalization.find(of(wide, drawn(batch, 4))), "norm_idle")


@pytest.mark.parametrize("norm", [nn.BatchNorm1d(8, eps=1e-5), nn.LayerNorm(8, eps=1e-5)])
def test_a_norm_hides_the_scale_of_the_weights_before_it(norm: nn.Module):
    model = sequential(nn.Linear(6, 8, bias=False), norm, nn.Dropout(0.4), nn.Linear(8, 3, bias=False))
    looked = of(model, drawn(64, 6), rt.L2(0.1))
    changes = looked.scale_changes
    assert changes["0.weight"] < 1e-3
    assert changes["3.weight"] == pytest.approx(1.0)  # the outputs are doubled
    (found,) = said(normalization.find(looked), "scale_hidden_by_norm")
    assert (found.where, found.severity) == ("0.weight", "info")
    assert found.numbers["share_of_penalised"] == pytest.approx(48 / 72)


@pytest.mark.parametrize("rules", [(), (rt.L2(0.1, select="name:3.*"),)], ids=["no rule", "a rule behind it"])
def test_no_scale_is_hidden_where_none_is_penalised(rules: tuple[Any, ...]):
    model = sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    assert not said(normalization.find(of(model, drawn(64, 6), *rules)), "scale_hidden_by_norm")


def test_a_weight_that_nothing_depends_on_is_not_scale_invariant():
    model = sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    nn.init.constant_(model[1].bias, -100.0)  # all ReLUs are dead
    assert of(model, drawn(64, 6), rt.L2(0.1)).scale_changes == {}
