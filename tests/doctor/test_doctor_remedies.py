"""The table of causes and the remedies: the page is the table's, and a remedy is a line of Python that runs."""

from __future__ import annotations

import itertools
import json
import random
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

import causes_page
import causes_pictures
import regtorch as rt
from regtorch.app.run.remedies import overrides_of
from regtorch.doctor.causes import CAUSES, MEASUREMENTS, SEVERITIES
from regtorch.doctor.finding import in_order
from regtorch.doctor.remedy import NoNumber, Remedy
from regtorch.steps.hooks import attached_to


def finding(cause: str, severity: str = "severe", blame: float = 0.0, remedy: Remedy | None = None) -> rt.Finding:
    return rt.Finding(cause, "w", severity, why="", change="", blame=blame, remedy=remedy)


def test_the_page_of_causes_is_what_the_table_says():
    text = causes_page.PAGE.read_text(encoding="utf-8")
    assert text == causes_page.page(), "run: python tests/causes_page.py"
    assert all(f'<a id="{cause.page.partition("#")[2]}"></a>' in text for cause in CAUSES.values())


def test_every_cause_has_an_example_and_a_picture():
    pictured = {path.stem for path in (causes_page.PAGE.parent / "pictures" / "causes").glob("*.svg")}
    assert pictured == set(CAUSES) - set(causes_page.NOTES), "run: python tests/causes_pictures.py"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")  # of a loss that broadcasts
@pytest.mark.parametrize("cause", [cause for cause in CAUSES if cause not in causes_page.NOTES])
def test_the_example_of_a_cause_has_it(cause: str):
    finding, words, picture = causes_pictures.told(cause)
    assert finding.cause == cause
    assert words == json.loads(causes_page.EXAMPLES.read_text(encoding="utf-8"))[cause]["example"]
    assert picture.startswith("<svg")


def test_every_measurement_has_causes():
    assert {*MEASUREMENTS, "", "along", "validation", "history"} == {cause.measurement for cause in CAUSES.values()}


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
        *(Remedy("batch size", value=32), Remedy("strength", value=1e-3, rules=[rt.L2(1e-3)])),
    ):
        exec(remedy.python(), names)
    assert [optimizer.param_groups[0][name] for name in ("lr", "weight_decay", "maximize")] == [0.5, 0.0, False]
    assert isinstance(model[1], nn.Identity)
    assert model[2].p == 0.2
    assert float(names["x"].mean()) == pytest.approx(0.0, abs=1e-5)
    assert names["loader"].batch_size == 32
    assert [Remedy(what).python() for what in ("no last activation", "split")] == ["", ""]
    assert Remedy("strength", value=NoNumber("none works")).python() == ""


@pytest.mark.parametrize(
    ("remedy", "overrides"),
    [
        (None, ()),
        (Remedy("strength", value=NoNumber("none works")), ()),
        (Remedy("strength", value=1e-3, rules=[rt.L2(1e-3)]), ("reg.lam=2e-03",)),
        (Remedy("strength", value=1e-3, rules=[rt.L1(1e-3)]), ("reg.lam=1e-03",)),
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
    assert Remedy("strength", value=0.1, rules=[rule]).python() == ""
    assert Remedy("strength", value=0.1, rules=[rt.GroupLasso(0.1, dim=(0, 1))]).python()


def test_groups_without_decay_stay_without():
    weights = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)]
    groups = [{"params": weights[:1], "weight_decay": 5.0}, {"params": weights[1:], "weight_decay": 0.0}]
    optimizer = torch.optim.Adam(groups)
    exec(Remedy("weight decay", value=0.001).python(), {"optimizer": optimizer})
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.001, 0.0]


def setup_of(lrs: tuple[float, float] = (0.1, 0.1), decays: tuple[float, float] = (0.0, 0.0)):
    """A net, batches, and an optimizer with a group a layer."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    batches = [(x := torch.randn(32, 4), (x[:, 0] > 0).long()) for _ in range(4)]
    groups = [
        {"params": model[layer].parameters(), "lr": lr, "weight_decay": decay}
        for layer, lr, decay in zip((0, 2), lrs, decays, strict=True)
    ]
    return model, batches, torch.optim.SGD(groups, lr=0.1)


def remedy_of(cause: str, model: nn.Module, loss: Any, batches: Any, optimizer: Any, rules: Any = ()) -> Remedy:
    found = [f for f in rt.diagnose(model, loss, batches, optimizer, rules) if f.cause == cause]
    assert found, cause
    assert found[0].remedy is not None
    return found[0].remedy


@pytest.mark.parametrize(
    "rules", [(rt.L2(30.0), rt.L1(20.0)), (rt.L1L2(20.0, 30.0),)], ids=["two rules", "two strengths"]
)
def test_several_strengths_are_changed_by_one_factor(rules: tuple[rt.Penalty, ...]):
    model, batches, optimizer = setup_of()
    found = rt.diagnose(model, nn.functional.cross_entropy, batches, optimizer, rules)
    remedy = next(f.remedy for f in found if f.cause in ("penalty_dominates", "collapse", "diverges"))
    assert remedy is not None
    assert remedy.value is None
    assert remedy.factor is not None
    assert 0 < remedy.factor < 0.1
    made = eval(remedy.python(), {"rt": rt, "model": model})
    present = rules[0].on(model) if len(rules) == 1 else rules[0].on(model) + rules[1].on(model)
    assert float(made().detach()) == pytest.approx(remedy.factor * float(present().detach()), rel=1e-5)


def test_a_factor_is_an_override_of_each_strength():
    reg = {"lam": 2.0, "convention": "keras"}
    remedy = Remedy("strength", factor=0.01)
    assert overrides_of(remedy, OmegaConf.create({"reg": reg})) == ("reg.lam=2e-02",)
    both = OmegaConf.create({"reg": {**reg, "l1": 2.0, "l2": 0.15}})
    assert overrides_of(remedy, both) == ("reg.l1=2e-02", "reg.l2=0.0015")


def test_decays_that_differ_are_changed_by_one_factor():
    model, batches, optimizer = setup_of(decays=(50.0, 80.0))
    loss = nn.functional.cross_entropy
    found = rt.diagnose(model, loss, batches, optimizer)
    remedy = next(f.remedy for f in found if f.remedy is not None and f.remedy.what == "weight decay")
    assert remedy.factor is not None
    exec(remedy.python(), {"optimizer": optimizer})
    assert [g["weight_decay"] for g in optimizer.param_groups] == pytest.approx(
        [50 * remedy.factor, 80 * remedy.factor]
    )


def test_the_rate_of_one_group_is_changed_alone():
    model, batches, optimizer = setup_of(lrs=(0.1, 1e-9))
    remedy = remedy_of("rate_too_small", model, nn.functional.cross_entropy, batches, optimizer)
    assert (remedy.what, remedy.where, remedy.groups) == ("rate", ["2.weight"], [1])
    exec(remedy.python(), {"optimizer": optimizer})
    assert [g["lr"] for g in optimizer.param_groups] == [0.1, remedy.value]
    causes = [f.cause for f in rt.diagnose(model, nn.functional.cross_entropy, batches, optimizer)]
    assert "rate_too_small" not in causes


def test_decay_beside_a_penalty_is_removed_from_its_groups():
    model, batches, optimizer = setup_of(decays=(0.1, 0.2))
    rules = [rt.L2(0.01, select="name:0.weight")]
    remedy = remedy_of("decay_twice", model, nn.functional.cross_entropy, batches, optimizer, rules)
    exec(remedy.python(), {"optimizer": optimizer})
    assert [g["weight_decay"] for g in optimizer.param_groups] == [0.0, 0.2]


def test_rates_that_differ_are_lowered_by_one_factor():
    model, batches, optimizer = setup_of(lrs=(1e4, 2e4))
    found = rt.diagnose(model, nn.functional.cross_entropy, batches, optimizer)
    remedy = next(f.remedy for f in found if f.remedy is not None and f.remedy.what == "rate")
    assert remedy.factor is not None
    exec(remedy.python(), {"optimizer": optimizer})
    assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([1e4 * remedy.factor, 2e4 * remedy.factor])


def test_a_sum_over_the_batch_has_its_strength_or_its_reduction():
    model, batches, optimizer = setup_of()
    loss = nn.CrossEntropyLoss(reduction="sum")
    remedy = remedy_of("summed_loss", model, loss, batches, optimizer, [rt.L2(0.032)])
    assert remedy.value == pytest.approx(0.032 * 32)
    made = eval(remedy.python(), {"rt": rt, "model": model})
    assert float(made().detach()) == pytest.approx(32 * float(rt.L2(0.032).on(model)().detach()), rel=1e-5)
    exec(remedy_of("summed_loss", model, loss, batches, optimizer).python(), {"loss_fn": loss})
    assert loss.reduction == "mean"


def test_a_tight_constraint_gets_a_larger_norm_and_that_is_an_override():
    model, batches, optimizer = setup_of()
    remedy = remedy_of(
        "constraint_too_tight", model, nn.functional.cross_entropy, batches, optimizer, [rt.MaxNorm(0.001)]
    )
    assert remedy.what == "bound"
    made = eval(remedy.python(), {"rt": rt, "model": model})
    assert made.rule == rt.MaxNorm(float(str(remedy.value)))
    assert overrides_of(remedy, OmegaConf.create({})) == (f"constraint.max_value={remedy.value:g}",)


def test_a_constraint_is_removed_or_spares_the_head():
    model, batches, optimizer = setup_of()
    handle = rt.NonNeg().on(model).attach(optimizer)
    exec(Remedy("no constraint", ["0.weight"]).python(), {"handle": handle})
    assert not attached_to(optimizer)
    assert overrides_of(Remedy("no constraint"), OmegaConf.create({})) == ("constraint=none",)
    numbers = [(x, 30 * x[:, :2]) for x, _ in batches]
    loss = nn.functional.mse_loss
    spared = remedy_of("constraint_too_tight", model, loss, numbers, optimizer, [rt.MaxNorm(1.0)])
    assert (spared.what, spared.where, spared.value) == ("select", ["2.weight"], "kernel -name:2.weight")
    head = [rt.MaxNorm(1.0, select="name:2.weight")]
    removed = remedy_of("constraint_too_tight", model, loss, numbers, optimizer, head)
    assert removed == Remedy("no constraint", ["2.weight"])
    assert eval(spared.python(), {"rt": rt, "model": model}).rule.select == spared.value
    assert overrides_of(spared, OmegaConf.create({})) == ("constraint.select='kernel -name:2.weight'",)


def test_a_value_is_never_left_out_silently():
    with pytest.raises(ValueError, match="'strength' takes a value, a factor or a NoNumber, received value=None"):
        Remedy("strength")
    with pytest.raises(ValueError, match="'split' takes no value, received value=0.5"):
        Remedy("split", value=0.5)
