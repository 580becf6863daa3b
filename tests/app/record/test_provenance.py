"""What a record says about its origin."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import torch
from torch import nn

from command_line import CommandLine
from regtorch.app.doctor.main import main as doctor_main
from regtorch.app.path.main import main as path_main
from regtorch.app.record.provenance import checksum, data_checksums, provenance, weights_checksum
from regtorch.data import Digits


def git(folder: Path, *words: str) -> None:
    own = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *own, *words], cwd=folder, check=True, capture_output=True)


def test_the_commit_of_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert "folder" not in provenance("x")["git"]
    git(tmp_path, "init", "-q")
    assert "folder" not in provenance("x")["git"]  # no commit
    (tmp_path / "code.py").write_text("a = 1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    (tmp_path / "runs").mkdir()  # a run's own files are no change of the code
    (tmp_path / "runs" / "new.txt").write_text("new")
    found = provenance("x")["git"]["folder"]
    assert len(found["commit"]) == 40
    assert found["dirty"] is False
    (tmp_path / "code.py").write_text("a = 2")
    assert provenance("x")["git"]["folder"] == {**found, "dirty": True}


def test_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance("x")["git"] == {}


def test_checksums_are_of_dtypes_shapes_and_values():
    w = torch.arange(6.0).reshape(2, 3)
    same = (w.clone(), w.t().contiguous().t(), w[:, :])
    assert len({checksum([tensor]) for tensor in (w, *same)}) == 1
    others = (w.reshape(3, 2), w.double(), w.bfloat16(), w + 1e-7, w[:1], torch.tensor(1.0), torch.zeros(0))
    assert len({checksum([tensor]) for tensor in (w, *others)}) == 1 + len(others)
    assert checksum([w, w]) != checksum([w])
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    before = weights_checksum(net)
    net.get_buffer("1.running_mean")[0] = 1.0
    assert weights_checksum(net) != before


def test_checksums_of_data():
    data = Digits()
    data.setup()
    found = data_checksums(data)
    assert found is not None
    assert list(found) == ["train", "val", "test"]
    assert len({*found.values()}) == 3
    data.splits.train.labels[0] += 1
    assert [name for name, value in (data_checksums(data) or {}).items() if value != found[name]] == ["train"]
    assert data_checksums(None) is None


MAINS = {"path": (path_main, "paths", "summary.json"), "doctor": (doctor_main, "checkups", "doctor.json")}


@pytest.mark.script
@pytest.mark.parametrize("program", MAINS)
def test_other_programs_record_it_too(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    main, runs, name = MAINS[program]
    lams = ("reg=l2", "path.lams=log:0.1:1:2") if program == "path" else ("reg=l2", "reg.lam=0.1")
    result = CommandLine(tmp_path, monkeypatch, capfd, main, runs)(*lams)
    assert result.code in (0, 3)
    record = json.loads((result.folder / name).read_text())
    origin = record["provenance"]
    assert origin["command"].startswith(f"python scripts/{program}.py model=mnist_mlp trainer=cpu")
    assert origin["command"].endswith(" ".join(lams))
    assert origin["threads"] == torch.get_num_threads()
    assert origin["device_name"]
    assert sorted(origin["data"]) == ["test", "train", "val"]
    assert record["versions"]["torch"] == torch.__version__
    assert record["config"]["seed"] == 0
