"""model=own: a class that the user wrote."""

import sys
from pathlib import Path

import pytest

from command_line import CommandLine
from regtorch.app.run.main import main

pytestmark = pytest.mark.script

NET = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self, hidden=4):
        super().__init__(nn.Flatten(), nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 10))
"""


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> CommandLine:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "a_net_of_mine.py").write_text(NET)
    return CommandLine(tmp_path, monkeypatch, capfd, main)


def test_a_class_is_imported_from_the_working_folder(train: CommandLine):
    result = train("model=own", "model.net._target_=a_net_of_mine.Net", "+model.net.hidden=6", "reg=l2")
    assert result.code == 0, result.err
    assert "Net: 460 parameters" in result.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "model.net._target_: expected a value, received none; give model.net._target_=..."),
        (("model.net._target_=a_net_of_mine.Nett",), "Are you sure that 'Nett' is importable"),
        (
            ("model.net._target_=a_net_of_mine.Net", "+model.net.hiden=6"),
            "model.net.hiden: Net has no such argument; did you mean hidden?",
        ),
        (("model.net._target_=a_net_of_mine.Net", "data.resize=[1,16,16]"), "Net cannot take a batch of shape"),
    ],
)
def test_errors_in_a_users_net_are_reported(train: CommandLine, words: tuple[str, ...], said: str):
    result = train("model=own", *words, "reg=l2")
    assert result.code == 2
    assert said in result.error
