"""The page about rules of one's own runs as it stands: a rule from outside, by every program."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from command_line import ROOT

TEXT = (ROOT / "docs" / "own_rules.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
(MODULE,) = (block for block in PYTHON if block.startswith("# mine.py"))
((PLACE, CONFIG),) = re.findall(r"```yaml\n# (\S+)\n(.*?)```", TEXT, re.DOTALL)
TRAIN, *COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]
REPORT = COMMANDS.pop()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's folder, as the page describes it."""
    (tmp_path / "mine.py").write_text(MODULE, encoding="utf-8")
    config = tmp_path / PLACE
    config.parent.mkdir(parents=True)
    config.write_text(CONFIG, encoding="utf-8")
    return tmp_path


def run(command: str, folder: Path) -> str:
    """What a command of the page prints."""
    _, script, *arguments = shlex.split(command)
    done = subprocess.run(
        [sys.executable, str(ROOT / script), *arguments],
        cwd=folder,
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in ((0, 3) if "doctor" in script else (0,)), done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("block", [b for b in PYTHON if b is not MODULE], ids=lambda b: b.splitlines()[-1][:30])
def test_python_blocks(block: str, folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    exec(block, {})
    sys.modules.pop("mine", None)


@pytest.mark.script
@pytest.mark.slow
def test_train_and_report(folder: Path):
    printed = run(TRAIN, folder)
    assert "MCP(lam=0.001, a=1.0" in printed
    assert re.search(r"exact zeros: [1-9]", printed), "the proximal step of the page"
    run(REPORT, folder)
    (page,) = folder.glob("*.html")
    assert "hydra.searchpath" in page.read_text(encoding="utf-8"), "the command on the page finds the user's configs"


@pytest.mark.slow
@pytest.mark.script
@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: Path(c.split()[1]).stem)
def test_programs_and_the_commands_that_they_print(command: str, folder: Path):
    if "search.py" in command:
        pytest.importorskip("optuna", reason="searches need the extra [search]")
    printed = [line.strip() for line in run(command, folder).splitlines() if "scripts/train.py" in line]
    assert printed, "no command"
    again = f"{printed[-1][printed[-1].index('python ') :]} trainer.max_epochs=1 trainer.limit_train_batches=2"
    assert "MCP(lam=" in run(again, folder)
