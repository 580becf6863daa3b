"""What pip installs: every program starts from any folder, with the packed configs, without the repository."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from command_line import FAST, ROOT

pytestmark = pytest.mark.script

SEARCH = ("reg=l2", "search.trials=1", "search.workers=1", "logger=none")
RUNS = {
    "train": (0, "train", *FAST, "reg=l2", "trainer.max_epochs=1"),
    "path": (0, "path", *FAST, "reg=l2", "path.lams=[0,1e-3]", "trainer.max_epochs=1"),
    "search": (0, "search", *FAST, *SEARCH),
    "doctor": (3, "doctor", "model=mnist_mlp", "trainer=cpu", "reg=l2", "reg.lam=10"),
    "demo": (0, "demo"),
    "conventions": (0, "conventions", "0.01", "keras"),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel holds, as pip puts it into site-packages."""
    pytest.importorskip("hatchling", reason="building a wheel needs hatchling, of the extra [dev]")
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def regtorch(site: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site), "COLUMNS": "200"}
    command = [sys.executable, "-m", "regtorch", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("program", RUNS)
def test_every_program_runs_from_an_empty_folder(program: str, site: Path, tmp_path: Path):
    code, *words = RUNS[program]
    done = regtorch(site, tmp_path, *words)
    assert done.returncode == code, done.stdout + done.stderr
    if program in ("path", "search", "doctor", "demo"):  # test_own_rules_page.py pastes such commands
        assert "regtorch train model=mnist_mlp" in done.stdout
    if program == "train":
        reported = regtorch(site, tmp_path, "report", "runs")
        assert reported.returncode == 0, reported.stderr
        assert "regtorch train" in next((tmp_path / "runs").glob("*.html")).read_text(encoding="utf-8")


ALL = """
import contextlib, io, json, sys
import regtorch
from regtorch.app.cli import main
from regtorch.app.record.command import configs

found = [str(regtorch.__file__), str(configs())]
for words in json.loads(sys.argv[1]):
    sys.argv = [regtorch.__file__.replace("__init__", "__main__"), *words]
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        try:
            code = main()
        except SystemExit as end:
            code = end.code
    found.append([code, text.getvalue()])
print(json.dumps(found))
"""
"""Where it is, and how each command line ends, of one process."""


def test_the_wheel_is_what_runs_and_says_what_there_is(site: Path, tmp_path: Path):
    lines = [["--help"], [], ["tain", "reg=l2"], ["report", "--documents"]]
    environment = {**os.environ, "PYTHONPATH": str(site), "COLUMNS": "200"}
    command = [sys.executable, "-c", ALL, json.dumps(lines)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    place, configs, usage, none, wrong, documents = json.loads(done.stdout)
    assert [place, configs] == [str(site / "regtorch" / "__init__.py"), str(site / "regtorch" / "conf")]
    (points,) = site.glob("*.dist-info/entry_points.txt")
    assert "regtorch = regtorch.app.cli:main" in points.read_text()
    for (code, text), expected in ((usage, 0), (none, 2)):
        assert code == expected
        assert set(re.findall(r"^  (\w+)  +\w", text, re.MULTILINE)) == {*RUNS, "report"}
    assert wrong[0] == documents[0] == 2
    assert "error: unknown program 'tain'" in wrong[1]
    assert "a checkout of the repository" in documents[1]


@pytest.mark.slow
def test_a_checkout_beside_an_installed_wheel_uses_its_own_code(tmp_path: Path):
    (tmp_path / "regtorch").mkdir()
    (tmp_path / "regtorch" / "__init__.py").write_text("raise RuntimeError('the installed one was imported')\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    for script in ("train", "report"):
        command = [sys.executable, str(ROOT / "scripts" / f"{script}.py"), "--help"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_process_of_lightning_s_is_the_same_program(site: Path, tmp_path: Path):
    words = [*FAST, "reg=l2", "trainer=ddp", "trainer.devices=2", "trainer.max_epochs=1", "logger=none"]
    done = regtorch(site, tmp_path, "train", *words)
    assert done.returncode == 0, done.stdout + done.stderr
