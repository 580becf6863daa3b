"""`trainer.deterministic` is one switch, for every program, and lasts for a run."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from command_line import CommandLine
from regtorch.app.path.main import main as path_main
from regtorch.app.run.determinism import determinism


def state() -> tuple[bool, bool, bool, str | None]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.benchmark,
        os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
    )


@pytest.mark.parametrize("setting", [True, "warn"])
def test_the_switch_sets_everything_and_restores_it(setting: object, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    before = state()
    with determinism(setting):
        assert state() == (True, setting == "warn", False, ":4096:8")
    assert state() == before


@pytest.mark.parametrize("setting", [None, False])
def test_without_the_switch_nothing_is_set(setting: object):
    before = state()
    with determinism(setting):
        assert state() == before


PROGRAMS = {"train": ((), "runs"), "path": (("path.lams=[0.1]", "reg=l2"), "paths")}


@pytest.mark.script
@pytest.mark.parametrize("program", PROGRAMS)
def test_the_record_says_it(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    arguments, runs = PROGRAMS[program]
    start = CommandLine(tmp_path, monkeypatch, capfd, **({"main": path_main} if program == "path" else {}), runs=runs)
    before = state()
    for setting, expected in (("true", True), ("null", False)):
        result = start(*arguments, f"trainer.deterministic={setting}")
        assert result.code == 0
        record = json.loads((result.folder / "summary.json").read_text())
        assert record["provenance"]["deterministic"] is expected
        assert state() == before
