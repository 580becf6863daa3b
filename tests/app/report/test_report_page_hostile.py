"""Numbers, names and files that squeeze, widen or fill a page; test_report_page_hostile_charts.py has its charts."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from regtorch.app.report.main import main
from regtorch.app.report.page import report
from report_runs import a_run


def with_scores(folder: Path, lam: float, accuracy: float, loss: float = 1.0, **more: Any) -> None:
    """A run that ended with these numbers."""
    path = a_run(folder, "reg=l2", f"reg.lam={lam!r}", lam=lam, **more) / "summary.json"
    final: Mapping[str, float] = {"val/accuracy": accuracy, "val/task_loss": loss, "train/accuracy": accuracy}
    path.write_text(json.dumps({**json.loads(path.read_text()), "final": final, "best": {**final, "epoch": 1}}))


def test_numbers_near_the_largest_of_all(tmp_path: Path):
    for number, (lam, score) in enumerate([(1e-3, 1.7e308), (1e-2, -1.7e308), (1e-1, 1e308)]):
        for seed in (0, 1):
            run = tmp_path / f"{number}-{seed}"
            with_scores(run, lam, score, 1e308, seed=seed)
            (run / "csv" / "metrics.csv").write_text("epoch,val/task_loss\n0,1.7e308\n1,-1.7e308\n")
    page, found = report(tmp_path)
    assert len(found.entries) == 6
    assert "1.700e+308" in page.read_text(encoding="utf-8")


def test_strengths_from_the_smallest_to_the_largest(tmp_path: Path):
    for number, lam in enumerate([5e-324, 1e-300, 1e-3, 1e308]):
        path = a_run(tmp_path / str(number), "reg=l2", f"reg.lam={lam!r}") / "summary.json"
        summary = json.loads(path.read_text())
        summary["config"]["reg"]["lam"] = lam
        path.write_text(json.dumps(summary))
    page, _ = report(tmp_path)
    assert "Along the strength" in page.read_text(encoding="utf-8")


def test_a_receipt_of_megabytes_is_cut_and_the_rest_counted(tmp_path: Path):
    (a_run(tmp_path / "0", "reg=l2") / "receipt.txt").write_text("x" * 1_000_000)
    page, _ = report(tmp_path)
    assert page.stat().st_size < 200_000
    assert "… 980,000 further characters in receipt.txt" in page.read_text(encoding="utf-8")


def test_a_name_does_not_steer_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (a_run(tmp_path / "a\x1b[31m\nb", "reg=l2") / "summary.json").write_text("{")
    a_run(tmp_path / "good", "reg=l2")
    monkeypatch.setattr(sys, "argv", ["report.py", str(tmp_path)])
    assert main() == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert r"left out: a\x1b[31m\nb/summary.json: " in out
    assert len(out.splitlines()) == 3
