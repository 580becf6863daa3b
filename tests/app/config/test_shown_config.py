"""`--cfg job --resolve` shows the final config of every program and makes nothing."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from command_line import CommandLine
from regtorch.app.cli import PROGRAMS as MODULES
from wrong_settings import PROGRAMS

pytestmark = pytest.mark.script


@pytest.mark.parametrize("arguments", [("--cfg", "job", "--resolve", "reg=l2"), ("reg=l2", "--resolve", "--cfg=job")])
@pytest.mark.parametrize("program", PROGRAMS)
def test_the_final_config_is_shown(
    program: str,
    arguments: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
):
    main = importlib.import_module(MODULES[program][0]).main
    result = CommandLine(tmp_path, monkeypatch, capfd, main)(*arguments, fast=False)
    assert (result.code, result.err) == (0, "")
    assert "${" not in result.out
    cfg = OmegaConf.create(result.out)
    assert cfg.reg.penalty == {"_target_": "regtorch.L2", "lam": 0.01, "select": "kernel -name:head.*"}
    assert cfg.callbacks.best.dirpath == f"{cfg.out_dir}/checkpoints" == "FOLDER/checkpoints"
    assert not list(tmp_path.iterdir())
