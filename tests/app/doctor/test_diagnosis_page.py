"""What a diagnosis makes of findings and experiments."""

import json
import math
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from command_line import CommandLine
from diagnoses import ADVISED, CFG, diagnosis, finding, proof, strength
from regtorch.app.doctor import pipeline
from regtorch.app.doctor import proofs as proofs_module
from regtorch.app.doctor.diagnosis import setup_overrides, within_range
from regtorch.app.doctor.diagnosis_page import write_page
from regtorch.app.doctor.main import main
from regtorch.app.doctor.plots import plots
from regtorch.app.doctor.proofs import Proof, Verdict
from regtorch.app.doctor.strength import Strength
from regtorch.app.doctor.terminal import print_diagnosis
from regtorch.app.run.examine import Examination
from regtorch.doctor.causes import Severity, title_of
from regtorch.doctor.finding import Finding
from regtorch.doctor.observe.forces import Forces
from regtorch.doctor.observe.steps import Step, WatchedSteps
from regtorch.doctor.remedy import Remedy

QUOTED = "reg.select='kernel|bias'"


def test_what_an_experiment_refutes_is_withdrawn():
    found = diagnosis([finding("collapse"), finding("imbalance", "warning")], [proof("collapse", "refuted")])
    assert [f.cause for f in found.findings] == ["imbalance"]
    assert [f.cause for f in found.withdrawn] == ["collapse"]
    assert found.severity == "warning"
    assert found.verdict.startswith("Nothing severe, 1 warning. First: imbalance")


@pytest.mark.parametrize("verdict", ["proved", "undecided"])
def test_what_is_not_refuted_stays(verdict: Verdict):
    found = diagnosis([finding("collapse")], [proof("collapse", verdict)])
    assert (found.severity, found.withdrawn) == ("severe", [])


@pytest.mark.parametrize("severity", ["severe", "warning"])
@pytest.mark.parametrize("cause", ["bias_penalised", "decay_twice", "softmax_before_cross_entropy"])
def test_a_fault_of_the_structure_stays_as_a_warning(cause: str, severity: Severity):
    found = diagnosis([finding(cause, severity), finding("collapse")], [proof(cause, "refuted")])
    assert [(f.cause, f.severity) for f in found.findings] == [("collapse", "severe"), (cause, "warning")]


def test_nothing_to_blame_is_healthy():
    found = diagnosis([finding("loss_at_chance", "info")])
    assert (found.severity, found.blamed, found.command) == ("info", None, None)
    assert found.verdict.startswith("Healthy")
    assert "dropout" in found.verdict  # what was examined


@pytest.mark.parametrize(
    ("remedy", "proofs", "command"),
    [
        (strength(0.01), [], "reg=l2 reg.lam=1e-02"),
        (Remedy("rate", value=1e-3, also=strength(0.0)), [], "reg=l2 optimizer.lr=0.001 reg.lam=0"),
        (strength(0.01), [proof("collapse", "proved", "reg.lam=0.003")], "reg=l2 reg.lam=0.003"),
        (strength(0.01), [proof("collapse", "undecided", "reg.lam=0.003")], "reg=l2 reg.lam=1e-02"),
        (Remedy("select", value="kernel|bias"), [], f"reg=l2 reg.lam=1 {shlex.quote(QUOTED)}"),
    ],
)
def test_the_command_has_the_change(remedy: Remedy, proofs: list[Proof], command: str):
    found = diagnosis([finding("collapse", remedy=remedy)], proofs)
    assert found.command == f"python scripts/train.py {command}"


def test_a_change_without_an_override_has_no_command():
    assert diagnosis([finding("softmax_before_cross_entropy")]).command is None


def test_the_doctors_own_keys_are_none_of_the_set_up():
    given = ["cure=true", "reg=l1", "strength=false", "+optimizer.new=1", "seconds=9", "doctor=true"]
    assert setup_overrides(given) == ["reg=l1", "+optimizer.new=1"]


@pytest.mark.parametrize("cause", ["collapse", "dropout_before_batch_norm", "one_not_known_yet"])
def test_every_cause_has_words(cause: str):
    assert "_" not in title_of(cause)
    assert title_of(cause)[0].isupper()


def test_experiments_and_strengths_are_printed_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    found = diagnosis(
        [finding("collapse"), finding("imbalance", "warning")],
        [proof("collapse", "proved", "reg.lam=0.003"), proof("imbalance", "refuted")],
        advised=ADVISED,
        weights=9,
    )
    print_diagnosis(found, tmp_path)
    out = " ".join(capsys.readouterr().out.split())
    assert "Proved by short trainings: loss 1 against 2." in out
    assert "withdrawn: Imbalanced classes (dense.weight). Refuted by short trainings" in out
    assert "Advised: reg.lam from 0.001 to 0.01: measured." in out
    assert "seconds=600" not in out  # nothing is undecided
    assert out.endswith("python scripts/train.py reg=l2 reg.lam=0.003")
    drawn = {plot.title: plot.text for plot in plots(found)}
    assert len(drawn) == 6
    assert "the 6 strongest of 9" in " ".join(drawn)
    assert "w8 8.5 on average" in " ".join(drawn.values())
    assert "accuracy: as is 0.500; without 0.500; with the change 0.900." in drawn.values()
    assert "none gives 0.500" in drawn["Strengths tried"]
    html = write_page(tmp_path, found).read_text()
    assert html.count("<svg ") == 6
    assert "Withdrawn" in html


@pytest.mark.parametrize(
    ("cause", "tried", "proofs", "used"),
    [
        ("collapse", 1e-4, [], "0.001"),  # ADVISED is from 0.001 to 0.01
        ("penalty_dominates", 0.0, [], "0.001"),
        ("penalty_dominates", 0.5, [], "0.01"),
        ("penalty_dominates", 2e-3, [], "2e-03"),
        ("penalty_dominates", 2e-3, [proof("penalty_dominates", "proved", "reg.lam=1e-05")], "0.001"),
        ("norm_penalised", 0.0, [], "0"),  # is no matter of a strength
    ],
)
def test_range_and_command_agree(cause: str, tried: float, proofs: list[Proof], used: str):
    found = diagnosis([finding(cause, remedy=strength(tried))], proofs, advised=ADVISED)
    assert found.command == f"python scripts/train.py reg=l2 reg.lam={used}"
    [advice] = within_range(found.findings, ADVISED, found.examination)
    moved = used in ("0.001", "0.01") and not proofs
    said = f"Use reg.lam={used}, within the range that short trainings advise."
    assert advice.change == (said if moved else "do it")


def test_what_is_undecided_may_have_more_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    print_diagnosis(diagnosis([finding("collapse")], [proof("collapse", "undecided", "reg.lam=0.003")]), tmp_path)
    assert "seconds=600 gives short trainings more time" in " ".join(capsys.readouterr().out.split())


def test_numbers_that_are_none_break_neither_page_nor_plots(tmp_path: Path):
    odd = replace(finding("collapse"), numbers={"half_life": math.inf, "cosine": math.nan, "norm": 1e12})
    found = diagnosis([odd], advised=replace(ADVISED, low=math.inf, high=math.inf, tried=ADVISED.tried[:1]))
    html = write_page(tmp_path, found).read_text()
    assert "∞" in html
    assert "not a number" in html
    forces = {"w": Forces(0.0, 0.0, 0.0, math.nan)}
    still = WatchedSteps([Step(0.0, 0.0, forces)], {"w": 0.0}, diverged=True)
    assert len(list(plots(replace(found, examination=Examination(CFG, [], still, still, 1, 1.0))))) == 4
    nothing = replace(found, examination=Examination(CFG, [], None, None, 1, 1.0), strength=None)
    assert list(plots(nothing)) == []


def test_text_is_escaped(tmp_path: Path):
    found = diagnosis([replace(finding("collapse"), why="a < b & <script>c</script>")], overrides=["reg.select='<x>'"])
    html = write_page(tmp_path, found).read_text()
    assert "<script>" not in html
    assert "<x>" not in html


@pytest.mark.script
def test_cure_and_strength_are_asked_for_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    asked: list[tuple[str, ...]] = []

    def prove(overrides: Sequence[str], findings: Sequence[Finding], conf: Path, *, seconds: float) -> list[Proof]:
        assert seconds == 7
        asked.append(tuple(overrides))
        return [proof(f.cause, "refuted") for f in findings if f.severity == "severe"]

    def find_strength(overrides: Sequence[str], conf: Path, *, seconds: float) -> Strength:
        assert seconds == 7
        asked.append(tuple(overrides))
        return ADVISED

    monkeypatch.setattr(proofs_module, "prove", prove)
    monkeypatch.setattr(pipeline, "find_strength", find_strength)
    doctor = CommandLine(tmp_path, monkeypatch, capfd, main, "checkups")
    given = ("model=mnist_mlp", "trainer=cpu", "reg=l2", "reg.lam=1")
    result = doctor(*given, "cure=true", "strength=true", "seconds=7", fast=False)
    assert result.code == 0  # all that was severe is refuted
    assert asked == [given, given]
    found = json.loads((result.folder / "doctor.json").read_text())
    assert found["verdict"] != "severe"
    withdrawn = [f for f in found["findings"] if f["withdrawn"]]
    assert [f["severity"] for f in withdrawn] == ["severe"] * len(withdrawn)
    assert withdrawn
    assert {f["cause"] for f in withdrawn} == {p["cause"] for p in found["proofs"]}
    assert found["strength"]["collapses"] is None  # infinite
    assert found["strength"]["low"] == 1e-3
    assert result.out.count("short trainings") >= 2
