"""Hundreds of trainings in one process leave nothing in it.

`REGTORCH_SOAK=3600 pytest -m slow -o faulthandler_timeout=0 FILE` trains for an hour.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from places import ROOT

SECONDS = float(os.environ.get("REGTORCH_SOAK", "40"))
GROWTH = 4.0
"""MiB of memory that may be lost to fragments after the first cycles, and KiB a training beside them."""


def soaked(folder: Path) -> list[dict[str, Any]]:
    """What each cycle of trainings left, without the two of the warm-up."""
    paths = [str(ROOT / name) for name in ("src", "tests", "tests/helpers", "scripts")]
    ended = subprocess.run(
        [sys.executable, "-m", "soak", str(SECONDS), str(folder / "runs")],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return json.loads(ended.stdout)[2:]


@pytest.mark.script
@pytest.mark.slow
def test_trainings_leave_nothing_behind(tmp_path: Path):
    first, *later = soaked(tmp_path)
    print("\n".join(f"{cycle['trainings']} trainings: {cycle['MiB']:.1f} MiB" for cycle in (first, *later)))
    for cycle in later:
        assert {name for name in first if first[name] != cycle[name]} <= {"trainings", "MiB"}
        trainings = cycle["trainings"] - first["trainings"]
        assert cycle["MiB"] - first["MiB"] <= GROWTH + GROWTH / 1024 * trainings
