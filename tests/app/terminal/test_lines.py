"""Lines on a terminal keep to its width, break between words, and leave commands that can be copied."""

from __future__ import annotations

import io
import shlex
import subprocess
from collections.abc import Collection

import pytest
from rich.table import Table

from regtorch.app.ground.errors import say
from regtorch.app.ground.lines import fitted, tell
from regtorch.app.terminal.table import print_chosen
from terminals import Terminal

EPOCH = "epoch 10/20  |  train: task_loss 0.4906  penalty 6.3874  accuracy 0.8594  |  val: task_loss 0.2469  r2 0.9056"
COMMAND = "  python -m regtorch train model=mnist_mlp 'path.lams=[0, log:1e-6:1:13]' reg.select='a|b' seed=0  # all"
HELP = """The most used settings:
  reg.lam=0.01                 strength of the penalty (l1l2: both, or reg.l1= and reg.l2=)
  reg.select='kernel|bias'     which weights: kernel bias norm embedding all, name:<glob>, type:<glob>,
                               largest:<n>; a space means and, - means not, | means or
  seed=0                       short"""


@pytest.mark.parametrize("width", [30, 60, 80, 120])
@pytest.mark.parametrize("text", [EPOCH, HELP, f"error: {EPOCH}; go on with: regtorch train resume=true seed=0"])
def test_lines_keep_to_the_width_and_words_stay_whole(text: str, width: int):
    broken = fitted(text, width)
    assert max(map(len, broken.splitlines())) <= max(width, 35)  # a command's word may be as long
    assert broken.replace(" \\\n", " ").split() == text.split()


def test_what_fits_stays_as_it_is():
    assert fitted(HELP, 120) == HELP
    assert fitted("    a  2×3      6", 20) == "    a  2×3      6"


@pytest.mark.parametrize("width", [30, 45, 60, 80])
def test_a_command_runs_as_it_is_copied(width: int):
    broken = fitted(COMMAND, width)
    assert "\n" in broken
    script = broken.replace("python -m regtorch train", "printf '%s\\n'", 1)
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == shlex.split(COMMAND, comments=True)[4:]


def test_a_command_in_a_message_gets_a_line_of_its_own():
    told = fitted("note: saved after step 7; resume with: python -m regtorch train resume=runs/cnn-l2", 60)
    assert told.splitlines() == [
        "note: saved after step 7; resume with:",
        "  python -m regtorch train resume=runs/cnn-l2",
    ]


def test_what_is_said_of_a_name_hangs_beside_it():
    lines = fitted(HELP, 80).splitlines()
    assert lines[1] == "  reg.lam=0.01                 strength of the penalty (l1l2: both, or reg.l1="
    assert lines[2] == " " * 31 + "and reg.l2=)"
    assert [line[:31].strip() for line in lines[3:]] == ["reg.select='kernel|bias'", "", "", "seed=0"]


def test_a_file_gets_whole_lines(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "60")
    tell(EPOCH, file := io.StringIO())
    assert file.getvalue() == f"{EPOCH}\n"
    tell(EPOCH, terminal := Terminal())
    assert max(map(len, terminal.getvalue().splitlines())) <= 60
    monkeypatch.setattr("sys.stderr", errors := Terminal())
    say(EPOCH)
    assert max(map(len, errors.getvalue().splitlines())) <= 60


@pytest.mark.parametrize(
    ("width", "live", "shown"), [(40, True, "ab"), (25, True, "b"), (25, False, "ab"), (5, True, "")]
)
def test_a_table_leaves_out_columns_on_a_narrow_terminal(
    width: int, live: bool, shown: str, monkeypatch: pytest.MonkeyPatch
):
    def table(left_out: Collection[str]) -> Table:
        names = [name for name in ("keep", "a", "b") if name not in left_out]
        made = Table(*names)
        for column in made.columns:
            column.no_wrap = True
        made.add_row(*("1234.5678" if name == "keep" else f"{name}23456" for name in names))
        return made

    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr("sys.stdout", out := (Terminal() if live else io.StringIO()))
    print_chosen(table, ("a", "b"))
    told = out.getvalue()
    assert "1234.5678" in told
    assert [name for name in "ab" if f"{name}23456" in told] == [*shown]
    assert ("too narrow for" in " ".join(told.split())) == (shown != "ab")
