"""What every sub-command prints of itself and of wrong words fits the terminal, and loses no word on a narrow one."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from contextlib import suppress

import pytest

from regtorch.app import cli
from regtorch.app.ground import signals
from regtorch.app.record.command import INSTALLED
from terminals import Terminal

pytestmark = pytest.mark.script

ARGUMENTS = {
    "help": ["", "--help", *(f"{program} --help" for program in cli.PROGRAMS)],
    "table": ["conventions 0.01", "conventions 0.1,0.5 sklearn.ElasticNet --samples 100"],
    "error": [
        *("unknown", "conventions x", "conventions 0.01 unknown", "conventions 1 --bath 2", "report", "report a b"),
        *("report --port 3 x", "report /nowhere/is/a/folder/with/a/long/name --page there.html", "demo unknown"),
        *("train --unknown", "train reg=unknown", "train reg.unknown=1", "path reg=unknown", "doctor reg=unknown"),
    ],
}
ALL = [line for lines in ARGUMENTS.values() for line in lines]

Shown = Callable[[str, int], str]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    """What a terminal of some columns shows of a command."""
    monkeypatch.setenv(INSTALLED, "")  # restored afterwards
    monkeypatch.delenv(INSTALLED)

    def show(line: str, columns: int) -> str:
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr(sys, "argv", ["/lib/regtorch/__main__.py", *line.split()])  # python -m regtorch is longest
        for name in ("stdout", "stderr"):
            monkeypatch.setattr(sys, name, Terminal())
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv(INSTALLED, raising=False)
            with suppress(SystemExit):
                cli.main()
        return "".join(stream.getvalue() for stream in (sys.stdout, sys.stderr) if isinstance(stream, Terminal))

    return show


@pytest.mark.parametrize("line", ALL)
def test_lines_fit_sixty_columns_and_no_word_is_lost(line: str, shown: Shown):
    narrow, wide = shown(line, 60), shown(line, 1000)
    assert [text for text in narrow.splitlines() if len(text) > 60] == []
    assert _words(narrow) == _words(wide)
    assert wide.strip()


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("line", ["--help", "report --help", "conventions --help", *ARGUMENTS["table"]])
def test_lines_fit_other_widths(line: str, columns: int, shown: Shown):
    assert max(map(len, shown(line, columns).splitlines())) <= columns


def test_a_table_without_a_terminal_has_a_row_a_line(capsys: pytest.CaptureFixture[str], shown: Shown):
    del shown
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["regtorch", "conventions", "0.01"])
        patch.setenv("COLUMNS", "60")
        cli.main()
    rows = capsys.readouterr().out.splitlines()
    assert any(len(row) > 60 and row.startswith("sklearn.ElasticNet ") for row in rows)


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_the_line_after_ctrl_c_fits(columns: int, monkeypatch: pytest.MonkeyPatch):
    written: list[bytes] = []
    monkeypatch.setattr(signals.os, "write", lambda _, text: written.append(text))
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("COLUMNS", str(columns))
    with pytest.raises(signals.Ended), signals.asked_to_end([signal.SIGTERM]), signals.patient():
        signal.raise_signal(signal.SIGTERM)
    told = b"".join(written).decode()
    assert max(map(len, told.splitlines())) <= columns
    said = "ended by SIGTERM: saving after the current step or validation; Ctrl-C ends at once"
    assert _words(told) == _words(said)
    assert told.endswith("once\n")


def _words(text: str) -> list[str]:
    return text.replace(" \\\n", " ").split()
