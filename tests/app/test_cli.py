"""How a program was started is how its usage, examples and messages name it; a reader that leaves ends it silently."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import regtorch
from places import ROOT
from regtorch.app import cli
from regtorch.app.record.command import INSTALLED, command
from thinned import thinned

pytestmark = pytest.mark.script

FORMS = {"regtorch": "/usr/bin/regtorch", "python -m regtorch": "/lib/regtorch/__main__.py", "python scripts": ""}
ALL = [(form, name) for form in FORMS for name in cli.PROGRAMS if (form, name) != ("python scripts", "conventions")]
OTHER_NAMES = ("__main__", *(f"{name}.py" for name in cli.PROGRAMS))

Start = Callable[..., tuple[int, str, str]]


def typed(form: str, program: str) -> str:
    return f"{form}/{program}.py" if form == "python scripts" else f"{form} {program}"


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Start:
    """Start a program in this process, in one of the three forms."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv(INSTALLED, "")  # restored afterwards
    monkeypatch.delenv(INSTALLED)

    def start(form: str, program: str, *words: str) -> tuple[int, str, str]:
        script = form == "python scripts"
        first = [f"scripts/{program}.py"] if script else [FORMS[form], *([program] if program else [])]
        monkeypatch.setattr(sys, "argv", [*first, *words])
        try:
            code = cli.run(program, *([lambda _: 0] if program == "report" else [])) if script else cli.main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return start


IN_TURN = {(form, name) for at, name in enumerate(cli.PROGRAMS) for form in [list(FORMS)[at % len(FORMS)]]}


@pytest.mark.parametrize(("form", "program"), thinned(ALL, lambda *start: start in IN_TURN))
def test_help_names_the_command_that_was_typed(form: str, program: str, start: Start):
    code, out, err = start(form, program, "--help")
    assert code == 0, err
    assert typed(form, program) in out
    for name in cli.PROGRAMS:
        out = out.replace(typed(form, name), "")
    assert [name for name in OTHER_NAMES if name in out] == [], out


OPTIONS = {"conventions": "--batch", "report": "--page", "demo": "--help"}  # others have those of Hydra


@pytest.mark.parametrize(("form", "program"), ALL)
def test_an_unknown_option_is_refused_in_a_line_with_the_nearest_one(form: str, program: str, start: Start):
    near = OPTIONS.get(program, "--config-dir")
    first = ["0.1"] if program == "conventions" else []
    assert start(form, program, *first, f"{near}s=a") == (
        2,
        "",
        f"error: {near}s: unknown option; did you mean {near}?\n",
    )
    code, _, err = start(form, program, *first, "--xyz")
    assert (code, err) == (2, f"error: --xyz: unknown option; {typed(form, program)} --help shows what can be given\n")


@pytest.mark.parametrize("program", ["train", "path", "search", "doctor"])
def test_a_setting_with_dashes_is_refused_with_the_form_without(program: str, start: Start):
    code, _, err = start("regtorch", program, "--reg.lam=0.1")
    assert (code, err) == (2, "error: --reg.lam: unknown option; settings are written without dashes: reg.lam=0.1\n")


@pytest.mark.parametrize(
    ("program", "words", "said"),
    [
        ("report", [], "error: expected one folder, received nothing; regtorch report --help shows examples"),
        ("report", ["a", "b"], "error: expected one folder, received a b; regtorch report --help shows examples"),
        ("search", ["--config-dir"], "error: --config-dir: expected one argument"),
        ("", ["tain"], "error: unknown program 'tain'; did you mean train?"),
        ("", ["--versoin"], "error: unknown program '--versoin'; did you mean --version?"),
    ],
)
def test_other_wrong_command_lines_are_refused_in_a_line(program: str, words: list[str], said: str, start: Start):
    code, _, err = start("regtorch", program, *words)
    assert (code, err) == (2, f"{said}\n")


@pytest.mark.parametrize("program", ["", "train", "search"])
def test_the_version_is_regtorchs(program: str, start: Start):
    assert start("regtorch", program, "--version") == (0, f"{regtorch.__version__}\n", "")


@pytest.mark.parametrize("form", ["regtorch", "python -m regtorch"])
def test_the_list_of_programs_names_the_command_that_was_typed(form: str, start: Start):
    _, out, _ = start(form, "", "--help")
    assert out.startswith(f"usage: {form} PROGRAM ...   (details: {form} PROGRAM --help)")


def test_a_process_of_a_program_names_what_started_the_program(start: Start, monkeypatch: pytest.MonkeyPatch):
    start("regtorch", "search", "--help")
    assert os.environ[INSTALLED] == "regtorch search"
    _, out, _ = start("python -m regtorch", "search", "--help")  # as a worker is started
    assert "python -m" not in out
    assert command("train", ["reg=l2"]) == "regtorch train reg=l2"


def test_the_documents_are_offered_where_they_are(start: Start):
    assert "--documents" in start("python scripts", "report", "--help")[1]
    assert "document" not in start("regtorch", "report", "--help")[1]


WITHOUT_A_READER = """
import io, os, sys
from importlib import import_module
from regtorch.app import cli

for module, _ in cli.PROGRAMS.values():
    import_module(module)
reader, writer = os.pipe()
os.close(reader)
for name in ("", *cli.PROGRAMS):
    for buffered in (True, False) if name in ("", "train") else (True,):
        if os.fork() == 0:
            os.dup2(writer, 1)
            file = open(1, "wb", -1 if buffered else 0, closefd=False)
            sys.stdout = io.TextIOWrapper(file, write_through=not buffered)
            sys.argv = ["regtorch", *([name] if name else []), "--help"]
            sys.exit(cli.main())
        print(name, buffered, os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""
"""Every program in a fork of one process, which has imported them all."""


@pytest.mark.slow
def test_a_reader_that_leaves_ends_the_program_silently(tmp_path: Path):
    """Buffered, the output fails at the end; else where it is printed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_A_READER], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    ends = [f"{name} True 141" for name in ("", *cli.PROGRAMS)] + [" False 141", "train False 141"]
    assert sorted(done.stdout.splitlines()) == sorted(ends)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_program_runs_with_closed_streams(closed: str, tmp_path: Path):
    """As a scheduler may start it."""
    words = f"{sys.executable} {ROOT / 'scripts' / 'report.py'} . {closed}"
    done = subprocess.run(["sh", "-c", words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2, "there are no runs"
    assert "Traceback" not in done.stderr
    assert ("expected runs" in done.stderr) == ("2>" not in closed)
