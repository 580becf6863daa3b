"""Without what only Linux, or only Unix, has: locks of files, limits, sysconf, /proc."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from places import ROOT
from regtorch import memory
from regtorch.app.ground import atomic, locks
from regtorch.app.record.provenance import device_name

AS_ON_WINDOWS = """
import os, runpy, sys
for name in ("fcntl", "resource"):
    sys.modules[name] = None
del os.sysconf, os.O_NOFOLLOW, os.O_NONBLOCK
sys.argv[0] = "regtorch"
runpy.run_module("regtorch", run_name="__main__")
"""


def test_a_run_and_its_report_need_none_of_it(tmp_path: Path):
    for words in ("train model=mnist_mlp reg=l2 trainer.max_epochs=1 trainer.limit_train_batches=3", "report runs"):
        result = subprocess.run(
            [sys.executable, "-c", AS_ON_WINDOWS, *words.split()],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        assert "error" not in result.stderr  # only that the lock is not the system's, which Windows has
    assert len(list(tmp_path.rglob("summary.json"))) == 1
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("folder", [False, True])
def test_files_are_replaced_whole_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: bool):
    monkeypatch.setattr(atomic, "fcntl", None)
    monkeypatch.setattr(locks, "fcntl", None)
    with locks.taking_turns(tmp_path), atomic.atomic(tmp_path / "it", folder=folder) as temporary:
        (temporary / "part" if folder else temporary).write_text("whole")
        assert not (tmp_path / "it").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["it"]
    with pytest.raises(ValueError, match="no luck"), atomic.atomic(tmp_path / "other", folder=folder):
        raise ValueError("no luck")
    assert [p.name for p in tmp_path.iterdir()] == ["it"]


def test_memory_and_processor_are_told_without_proc(monkeypatch: pytest.MonkeyPatch):
    def absent(self: Path, **_: object) -> str:
        raise FileNotFoundError(2, "no such file", str(self))

    monkeypatch.setattr(Path, "read_text", absent)
    monkeypatch.setattr(memory, "resource", None)
    assert 0 < memory.free_memory() < 1 << 62  # half of all, as macOS tells no more
    monkeypatch.delattr(os, "sysconf")
    assert memory.free_memory() == 1 << 40  # Windows
    assert device_name("cpu")
