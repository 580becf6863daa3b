"""Hundreds of trainings in one process leave nothing in it.

`REGTORCH_SOAK=3600 pytest -m slow -o faulthandler_timeout=0 FILE` trains for an hour.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from ctypes import CDLL
from pathlib import Path
from typing import Any

import pytest

from places import ROOT
from soak import growth

SECONDS = float(os.environ.get("REGTORCH_SOAK", "40"))
MOST = {"KiB resident": 4.0, "KiB allocated": 4.0, "Python's blocks": 10.0}
"""The largest growth a training; a block of Python's has at most 512 bytes."""


def soaked(folder: Path) -> list[dict[str, Any]]:
    """What each cycle of trainings left, without the two of the warm-up."""
    (folder / "here").mkdir()  # importlib keeps what it found for each time that a folder of sys.path has changed
    paths = [str(ROOT / name) for name in ("src", "tests", "tests/helpers", "scripts")]
    ended = subprocess.run(
        [sys.executable, "-m", "soak", str(SECONDS), str(folder / "runs")],
        cwd=folder / "here",
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return json.loads(ended.stdout)[2:]


@pytest.mark.script
@pytest.mark.slow
@pytest.mark.skipif(not hasattr(CDLL(None), "mallinfo2"), reason="needs glibc 2.33")
def test_trainings_leave_nothing_behind(tmp_path: Path):
    cycles = soaked(tmp_path)
    for cycle in cycles:
        print(f"{cycle['trainings']} trainings:", ", ".join(f"{cycle[name]:.0f} {name}" for name in MOST))
        assert {name for name in cycles[0] if cycles[0][name] != cycle[name]} <= {"trainings", *MOST}
    for name, most in MOST.items():
        print(f"{name}: {growth(cycles, name):+.2f} a training")
        assert growth(cycles, name) <= most


@pytest.mark.script
def test_growth_is_that_of_leaks_without_steps():
    noise = [0, 7, -3, 5, 1, -6, 4, 2, 0, 3, -1, 2]
    flat = [{"trainings": 12 * n, "KiB": 9000.0 + grown} for n, grown in enumerate(noise)]
    stepped = [{**cycle, "KiB": cycle["KiB"] + 7500 * (n >= 5)} for n, cycle in enumerate(flat)]
    leaking = [{**cycle, "KiB": cycle["KiB"] + 5 * cycle["trainings"]} for cycle in stepped]
    assert abs(growth(flat, "KiB")) < 0.2
    assert abs(growth(stepped, "KiB")) < 0.2
    assert growth(leaking, "KiB") == pytest.approx(5, abs=0.2)
    assert growth(stepped[3:7], "KiB") < 1
