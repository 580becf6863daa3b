"""The commands in the text and the sessions of the pages run, made short, page by page in one folder.

test_pages.py reads them all, and test_pages_shell.py runs those of shell blocks.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import pages
from pages import PAGES
from places import ROOT, SHARED

pytestmark = [pytest.mark.slow, pytest.mark.script]
SHORT = {
    "train": ["trainer=cpu", "trainer.max_epochs=1", "trainer.limit_train_batches=2", "trainer.limit_val_batches=1"],
    "path": ["trainer=cpu", "trainer.max_epochs=1", "trainer.limit_train_batches=2"],
    "search": ["trainer=cpu", "trainer.max_epochs=1", "search.trials=2", "search.workers=1"],
    "doctor": ["trainer=cpu"],
    "report": [],
}
# What needs another machine, package or folder: a queue, a tracker, data that no test has, what a user keeps.
_ELSEWHERE = re.compile(
    r"hydra/launcher=|logger=(mlflow|wandb)|experiment=|data=(?!mnist|digits)|data\.(dir|resize)=|history=|rerun=|"
    r"resume=\w*/|search\.(worker|storage)=|--(help|documents|config-dir|serve)|model=(?!cnn|mnist_mlp)"
)
_PROGRAM = re.compile(r"python scripts/(train|path|search|doctor|report)\.py (.+)")


def program(command: str) -> tuple[str, list[str]] | None:
    """The program and the words of a command that can be run here."""
    found = _PROGRAM.fullmatch(command)
    if found is None or _ELSEWHERE.search(command):
        return None
    return found[1], shlex.split(found[2], comments=True)


def beside_blocks(page: Path) -> list[str]:
    """The commands of a page that stand in no shell block."""
    return pages.commands(page)[sum(map(len, pages.shell(page))) :]


RUNNABLE = {page: [p for text in beside_blocks(page) if (p := program(text))] for page in PAGES}


def leaves_runs(page: Path) -> bool:
    """Whether something that runs here leaves what a report could show."""
    return any(name != "report" for name, _ in RUNNABLE[page])


@pytest.mark.parametrize("page", [*filter(leaves_runs, PAGES)], ids=lambda page: page.stem)
def test_commands_run(page: Path, tmp_path: Path):
    for name, words in RUNNABLE[page]:
        if "data=mnist" in words and not (SHARED / "data").is_dir():
            continue
        data = [f"data.dir={SHARED / 'data'}"] if "data=mnist" in words else []
        given = {word.lstrip("+").partition("=")[0] for word in words}
        short = [
            word for word in SHORT[name] if word.lstrip("+").partition("=")[0] not in given | {"trainer.max_steps"}
        ]
        if name == "report" and not (tmp_path / words[0]).exists():
            words = [".", *words[1:]]  # another page's folder: what this page has left
        done = subprocess.run(
            [sys.executable, str(ROOT / "scripts" / f"{name}.py"), *words, *data, *short],
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "120"},
            capture_output=True,
            text=True,
        )
        shows_error = f"{name}.py {shlex.join(words)}\n…\nerror: " in pages.text_of(page)
        allowed = (1,) if shows_error else (0, 3) if name == "doctor" else (0,)
        assert done.returncode in allowed, f"{name} {' '.join(words)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"


def test_pictures_are_drawn_anew(tmp_path: Path):
    from concepts import PICTURES

    command = [sys.executable, str(ROOT / "scripts" / "pictures.py"), "--into", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    assert {path.stem for path in tmp_path.iterdir()} == PICTURES.keys()
    assert all(path.stat().st_size <= 30_000 for path in tmp_path.iterdir())
