"""The table of causes and the remedies: the page is the table's, and a remedy is a line of Python that runs."""

from __future__ import annotations

import itertools
import random

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

import causes_page
import regtorch as rt
from regtorch.app.doctor.variants import proposal
from regtorch.app.run.remedies import overrides_of
from regtorch.doctor.causes import CAUSES, MEASUREMENTS, SEVERITIES
from regtorch.doctor.finding import in_order
from regtorch.doctor.remedy import Remedy


def finding(cause: str, severity: str = "severe", blame: float = 0.0, remedy: Remedy | None = None) -> rt.Finding:
    return rt.Finding(cause, "w", severity, why="", change="", blame=blame, remedy=remedy)


def test_the_page_has_the_table():
    text = causes_page.PAGE.read_text(encoding="utf-8")
    assert text == causes_page.written(text), "run: python tests/causes_page.py"
    assert all(f'<a id="{cause.page.partition("#")[2]}"></a>' in text for cause in CAUSES.values())


def test_every_measurement_has_causes():
    assert {*MEASUREMENTS, "", "validation"} == {cause.measurement for cause in CAUSES.values()}


def test_a_cause_outside_the_table_is_refused():
    with pytest.raises(ValueError, match=r"cause must be in the table regtorch\.doctor\.causes, received 'bad_luck'"):
        finding("bad_luck")


def test_findings_have_one_order():
    found = [
        finding(cause, severity, blame)
        for cause, severity, blame in itertools.product(
            ("no_parameters", "input_scale", "collapse", "validation_leak"), SEVERITIES, (2.0, 1.0)
        )
    ]
    wanted = [f for severity in SEVERITIES for f in found if f.severity == severity]
    random.Random(0).shuffle(found)
    assert in_order(found) == wanted


def test_python_makes_the_change():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.9), nn.Linear(4, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, weight_decay=1.0, maximize=True)
    x_train = torch.randn(50, 3) + 7
    names = {
        "model": model,
        "optimizer": optimizer,
        "rt": rt,
        "torch": torch,
        "x": x_train,
        "x_train": x_train,
        "dataset": torch.utils.data.TensorDataset(x_train),
    }
    made = Remedy("rate", value=0.5, also=Remedy("weight decay", value=0.0, also=Remedy("maximize", value=False)))
    for remedy in (
        *(made, Remedy("dropout rate", ["2"], 0.2), Remedy("no batch norm", ["1"]), Remedy("standardised inputs")),
        *(Remedy("batch size", value=32), Remedy("strength", value=1e-3, rule=rt.L2(1e-3))),
    ):
        exec(remedy.python(), names)
    assert [optimizer.param_groups[0][name] for name in ("lr", "weight_decay", "maximize")] == [0.5, 0.0, False]
    assert isinstance(model[1], nn.Identity)
    assert model[2].p == 0.2
    assert float(names["x"].mean()) == pytest.approx(0.0, abs=1e-5)
    assert names["loader"].batch_size == 32
    assert [Remedy(what).python() for what in ("strength", "no last activation", "split")] == ["", "", ""]


@pytest.mark.parametrize(
    ("remedy", "overrides"),
    [
        (None, ()),
        (Remedy("strength"), ()),
        (Remedy("strength", value=1e-3, rule=rt.L2(1e-3)), ("reg.lam=2e-03",)),
        (Remedy("strength", value=1e-3, rule=rt.L1(1e-3)), ("reg.lam=1e-03",)),
        (Remedy("select", value="kernel"), ("reg.select=kernel",)),
        (Remedy("select", value="all -bias"), ("reg.select='all -bias'",)),
        (Remedy("rate", value=1e-5, also=Remedy("standardised inputs")), ("optimizer.lr=1e-05",)),
        (Remedy("weight decay", value=0.0), ("optimizer.weight_decay=0",)),
        (Remedy("batch size", value=32), ("data.batch_size=32",)),
        (Remedy("split"), ("data.leak=false",)),
    ],
)
def test_the_program_makes_overrides(remedy: Remedy | None, overrides: tuple[str, ...]):
    cfg = OmegaConf.create({"reg": {"convention": "tf"}, "data": {"leak": True}})
    assert overrides_of(remedy, cfg) == overrides


def test_a_divergence_by_the_penalty_is_tried_without_it():
    """Its experiment used to ask for a place that no finding names, so that nothing was tried."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    batches = [(x := torch.randn(32, 4), (x[:, 0] > 0).long()) for _ in range(4)]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    (found, *_) = rt.diagnose(model, nn.functional.cross_entropy, batches, optimizer, [rt.L2(1e6)])
    assert (found.cause, found.severity) == ("diverges", "severe")
    without = proposal(found, OmegaConf.create({"reg": {"convention": "keras"}})).without
    assert without is not None
    assert without.overrides == ("reg=none",)


@pytest.mark.parametrize(
    "rule",
    [
        rt.L2SP(0.1, start={"0.weight": torch.zeros(2, 2)}),
        rt.EWC(0.1, {"0.weight": torch.zeros(2, 2)}),
        rt.Custom(torch.linalg.vector_norm, 0.1),
        rt.masked(rt.L2(0.1), {"0.weight": torch.ones(2, 2, dtype=torch.bool)}),
        type("Hoyer", (rt.L1,), {"__module__": "mine"})(0.1),
    ],
    ids=lambda rule: type(rule).__name__,
)
def test_a_rule_that_its_text_does_not_make_again_has_no_line(rule: rt.Penalty):
    assert Remedy("strength", value=0.1, rule=rule).python() == ""
    assert Remedy("strength", value=0.1, rule=rt.GroupLasso(0.1, dim=(0, 1))).python()


def test_groups_without_decay_stay_without():
    weights = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)]
    groups = [{"params": weights[:1], "weight_decay": 5.0}, {"params": weights[1:], "weight_decay": 0.0}]
    optimizer = torch.optim.Adam(groups)
    exec(Remedy("weight decay", value=0.001).python(), {"optimizer": optimizer})
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.001, 0.0]
