"""Threads of our programs sleep while they wait, unless the user says otherwise; other programs are left alone."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from places import ROOT
from regtorch.waiting import is_program

SCRIPT = str(ROOT / "scripts" / "train.py")


@pytest.mark.parametrize(
    ("command", "own"),
    [
        (["/usr/bin/python", "/usr/bin/regtorch", "train"], True),
        (["C:\\python.exe", "regtorch.exe", "train"], True),
        (["python", "-m", "regtorch", "train"], True),
        (["python", "-W", "error", "-m", "regtorch"], True),
        (["python", SCRIPT, "reg=l2"], True),
        (["python", str(ROOT / "scripts" / "bench.py")], False),
        (["python", "train.py"], False),
        (["python", "-m", "pytest"], False),
        (["python", "-m"], False),
        (["python", "mine.py", "regtorch"], False),
        (["python", "-c", "import regtorch"], False),
        ([], False),
    ],
)
def test_which_programs_are_ours(command: list[str], own: bool):
    assert is_program(command) is own


@pytest.mark.parametrize(("given", "set_"), [({}, "passive"), ({"GOMP_SPINCOUNT": "7"}, None)])
def test_the_policy_is_set_before_torch_is_loaded(given: dict[str, str], set_: str | None):
    code = (
        "import os, sys; sys.orig_argv = ['python', '-m', 'regtorch']; sys.modules['torch'] = None\n"
        "try:\n    import regtorch\nexcept ImportError:\n    print(os.environ.get('OMP_WAIT_POLICY'))"
    )
    env = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"} | {"PYTHONPATH": str(ROOT / "src")} | given
    result = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert result.stdout == f"{set_}\n"
