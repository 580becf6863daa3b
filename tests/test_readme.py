"""What the README shows runs as it stands."""

import re
import shlex
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from torch import nn

import regtorch as rt
import rules_page
from places import ROOT

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]
TRAINING = [line for line in COMMANDS if line.startswith("python scripts/train.py ")]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's
def test_python_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for block in PYTHON:  # in one test: a block may read what one before it wrote
        exec(block, {"rt": rt, "torch": torch, "nn": nn})


def test_every_form_of_the_command_is_shown():
    assert len(TRAINING) >= 6


@pytest.mark.parametrize("command", TRAINING)
def test_commands_compose(command: str):
    overrides = [word for word in shlex.split(command, comments=True)[2:] if word != "-m"]
    first_of_sweeps = [word.split(",")[0] for word in overrides]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        compose("train", [*first_of_sweeps, "out_dir=here"])


def test_the_page_of_rules_has_every_rule():
    text = rules_page.PAGE.read_text(encoding="utf-8")
    assert text == rules_page.written(text), "run: python tests/rules_page.py"
