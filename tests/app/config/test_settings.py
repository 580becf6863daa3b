"""CI runs what a user runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from places import ROOT

pytestmark = pytest.mark.script


def shown(folder: Path, **more: str) -> str:
    """The settings of Hypothesis in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if name not in {"CI", "GITHUB_ACTIONS"}}
    code = "import conftest, hypothesis; print(hypothesis.settings())"
    return subprocess.run(
        [sys.executable, "-c", code],
        env={
            **environment,
            "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), str(ROOT / "tests" / "helpers")]),
            **more,
        },
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.slow
def test_in_ci_too_examples_are_random_printed_and_kept(tmp_path: Path):
    settings = shown(tmp_path, CI="true")
    assert settings == shown(tmp_path)
    assert all(text in settings for text in ("derandomize=False", "print_blob=True", "DirectoryBasedExampleDatabase"))
