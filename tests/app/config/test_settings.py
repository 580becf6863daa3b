"""CI runs what a user runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from places import ROOT

pytestmark = pytest.mark.script


def shown(folder: Path, profile: str, **more: str) -> str:
    """The settings of Hypothesis in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if name not in {"CI", "GITHUB_ACTIONS"}}
    code = f"import conftest; from hypothesis import settings; print(settings.get_profile({profile!r}))"
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
@pytest.mark.parametrize(
    ("profile", "texts"),
    [
        ("regtorch", ["derandomize=True", "database=None", "max_examples=20"]),
        ("thorough", ["derandomize=False", "DirectoryBasedExampleDatabase", "print_blob=True", "max_examples=100"]),
    ],
)
def test_fast_examples_are_fixed_and_thorough_ones_new_also_in_ci(tmp_path: Path, profile: str, texts: list[str]):
    settings = shown(tmp_path, profile, CI="true")
    assert settings == shown(tmp_path, profile)
    assert all(text in settings for text in texts)
