"""The session of docs/keras.md runs as it stands, and prints what stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import regtorch as rt
from places import ROOT

pytest.importorskip("keras")
TEXT = (ROOT / "docs" / "keras.md").read_text(encoding="utf-8")
SESSION = TEXT[TEXT.index("## A session") : TEXT.index("## Files")]
BLOCKS = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", SESSION, re.DOTALL)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's
def test_the_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"rt": rt, "torch": torch}
    printed = []
    for code, shown in BLOCKS:
        exec(code, names)
        printed.append([float(number) for number in capsys.readouterr().out.split()])
        assert printed[-1] == pytest.approx([float(number) for number in shown.split()], rel=1e-3)
    assert printed[0] == printed[1]
    assert names["losses"] == pytest.approx(names["history"]["loss"], rel=5e-6)  # float32
