"""What docs/doctor.md shows runs as it stands, and prints what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import nn

import regtorch as rt
from places import ROOT

TEXT = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```\n\n```\n(.*?)```", TEXT, re.DOTALL)
_SUMMARY = re.compile(r"\{'train_runtime'.*\n")  # some versions of transformers print it
_TRIED = re.compile(r"from [\d.]+ to [\d.]+")  # losses depend on the machine


def test_there_are_blocks():
    assert len(BLOCKS) == TEXT.count("```python") == 5


@pytest.mark.filterwarnings(
    "ignore:.*num_workers:UserWarning",
    "ignore:.*pin_memory:UserWarning",
    "ignore::FutureWarning",
    "ignore::regtorch.DoctorWarning",
)
@pytest.mark.parametrize(("code", "printed"), BLOCKS)
def test_a_block_prints_what_the_page_shows(
    code: str, printed: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    if "transformers" in code:
        pytest.importorskip("transformers", reason="transformers is not installed")
        pytest.importorskip("accelerate", reason="accelerate is not installed")
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    exec(code, {"rt": rt, "torch": torch, "nn": nn})
    out = _SUMMARY.sub("", capsys.readouterr().out)
    assert _TRIED.sub("", out) == _TRIED.sub("", printed)
