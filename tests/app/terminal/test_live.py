"""A bar is drawn where the cursor can go up, and a notebook's cell gets lines."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import pytest

import regtorch.app
from regtorch.app.ground.live import is_live
from regtorch.app.path.show import Show
from terminals import Terminal

APP = Path(regtorch.app.__file__).parent


def test_a_terminal_is_live_and_a_file_is_not():
    assert is_live(Terminal())
    assert not is_live(io.StringIO())


def test_a_command_of_a_notebook_is_not_though_it_has_a_terminal(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("JPY_PARENT_PID", "1")
    assert not is_live(Terminal())


def test_no_program_asks_the_stream_itself():
    asking = [path.name for path in APP.rglob("*.py") if re.search(r"\.isatty\(", path.read_text(encoding="utf-8"))]
    assert asking == ["live.py"]


def test_a_path_in_a_notebook_prints_lines(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("JPY_PARENT_PID", "1")
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    show = object.__new__(Show)
    show._bar = None
    with show:
        assert show._bar is None
    assert "\x1b" not in terminal.getvalue()
