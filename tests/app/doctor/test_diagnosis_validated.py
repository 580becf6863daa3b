"""A strength with which a finished run validates better than without is not called severe."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from command_line import CommandLine
from diagnoses import finding
from regtorch.app.doctor.main import main
from regtorch.app.doctor.validated import validated
from regtorch.app.record.run_record import RunRecord
from regtorch.app.record.unpenalised import Finished

L2 = {"lam": 1.0, "rate": None, "label_smoothing": 0.0, "penalty": {"_target_": "regtorch.L2", "lam": 1.0}}
NONE = {**L2, "penalty": None}


def run(reg: dict[str, object], score: float, seed: int = 0, lr: float = 0.1) -> Finished:
    config = {"seed": seed, "out_dir": "/a", "data": {"seed": seed}, "optimizer": {"lr": lr}, "reg": reg}
    best = {"epoch": 2, "val/accuracy": score, "checkpoint": None}
    return Finished(Path(f"/{reg['penalty'] is None}{seed}"), RunRecord(config=config, final=best, best=best))


@pytest.mark.parametrize(
    ("runs", "severity"),
    [
        ([run(L2, 0.9), run(NONE, 0.8)], "warning"),
        ([run(L2, 0.8), run(NONE, 0.9)], "severe"),
        ([run(L2, 0.9), run(NONE, 0.8, seed=1)], "severe"),  # nothing to compare with
        ([run(L2, 0.9, lr=0.2), run(NONE, 0.8, lr=0.2)], "severe"),  # of other settings
        ([run(L2, 0.9), run(NONE, 0.95), run(L2, 0.9, seed=1), run(NONE, 0.1, seed=1)], "warning"),  # by means
        ([], "severe"),
    ],
    ids=["better", "worse", "alone", "other settings", "two seeds", "none"],
)
def test_validation_decides(runs: list[Finished], severity: str):
    examined = run(L2, 0.0).record
    examined = RunRecord(config={**examined.config, "out_dir": "/b", "strength": True, "cure": False}, final={})
    found = validated([finding("collapse"), finding("diverges")], examined, runs)
    assert {f.cause: f.severity for f in found} == {"collapse": severity, "diverges": "severe"}
    [collapse] = [f for f in found if f.cause == "collapse"]
    assert ("validates better than without the penalty: against reg=none" in collapse.why) == (severity == "warning")


@pytest.mark.script
def test_a_finished_run_of_the_settings_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    train = CommandLine(tmp_path, monkeypatch, capfd)
    doctor = CommandLine(tmp_path, monkeypatch, capfd, main, "checkups")
    settings = ("callbacks=none", "logger=none")
    folder = train("reg=l2", "reg.lam=1", *settings).folder
    assert train("reg=none", *settings).code == 0
    assert doctor("reg=l2", "reg.lam=1", *settings).code == 3
    path = folder / "summary.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "best": {**record["best"], "val/accuracy": 1.0}}))
    told = doctor("reg=l2", "reg.lam=1", *settings)
    assert (told.code, told.err) == (0, "")
    assert "validates better than without the penalty" in " ".join(told.out.split())
    assert "Keep it if a weaker one validates no better." in " ".join(told.out.split())
    assert doctor("reg=l2", "reg.lam=2", *settings).code == 3
