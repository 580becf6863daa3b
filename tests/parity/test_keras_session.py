"""What docs/keras.md shows runs as it stands, and prints what stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import regtorch as rt
from bare_trainer import bare_trainer
from places import ROOT

pytest.importorskip("keras")
warnings = [
    "ignore:__array__ implementation:DeprecationWarning",  # Keras's
    "ignore:.*LeafSpec:FutureWarning",  # Lightning's
    "ignore::UserWarning",  # Lightning's hints for loaders
]
pytestmark = [pytest.mark.filterwarnings(text) for text in warnings]
TEXT = (ROOT / "docs" / "keras.md").read_text(encoding="utf-8")
SESSION = TEXT[TEXT.index("## A session") : TEXT.index("## Files")]
BLOCKS = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", SESSION, re.DOTALL)


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


def test_layers_of_ones_own():
    part, names = TEXT[: TEXT.index("## A session")], {"rt": rt, "torch": torch}
    for code in re.findall(r"```python\n(.*?)```", part, re.DOTALL):
        exec(code, names)


def test_transfer_learning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lightning.Trainer", bare_trainer)
    given = TensorDataset(torch.randn(8, 3, 16, 16), torch.randint(0, 2, (8,)))
    names: dict[str, Any] = {"rt": rt, "torch": torch, "loader": DataLoader(given, batch_size=4)}
    saved, first, second = re.findall(r"```python\n(.*?)```", TEXT[TEXT.index("## Transfer") :], re.DOTALL)
    states = []
    for code in (saved, first, second):
        exec(code, names)
        if "net" in names:
            states.append({name: value.clone() for name, value in names["net"].state_dict().items()})
    before = rt.keras.load("photos.keras").net.state_dict()
    assert moved(before, states[0]) == {"head"}
    assert moved(states[0], states[1]) == {"head", "conv16", "norm16", "skip16"}
    with pytest.raises(ValueError, match="'head' was Dense.* and is Linear"):
        rt.keras.save(names["net"], "back.keras")


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    """The layers with weights or averages that are not the same."""
    same = {name for name, value in before.items() if torch.equal(value, after[name])} if before else set()
    return {name.partition(".")[0] for name in after.keys() - same}
