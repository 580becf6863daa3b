"""What pip installs: every program starts from any folder, with the packed configs, without the repository."""

from __future__ import annotations

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
    if program in ("path", "search", "doctor"):  # test_own_rules_page.py pastes such commands
        assert "regtorch train model=mnist_mlp" in done.stdout
    if program == "train":
        reported = regtorch(site, tmp_path, "report", "runs")
        assert reported.returncode == 0, reported.stderr
        assert "regtorch train" in next((tmp_path / "runs").glob("*.html")).read_text(encoding="utf-8")


def test_the_wheel_is_what_runs(site: Path, tmp_path: Path):
    code = "import regtorch; from regtorch.app.record.command import configs; print(regtorch.__file__, configs())"
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(site / "regtorch" / "__init__.py"), str(site / "regtorch" / "conf")]
    (points,) = site.glob("*.dist-info/entry_points.txt")
    assert "regtorch = regtorch.app.cli:main" in points.read_text()


@pytest.mark.slow
def test_a_checkout_beside_an_installed_wheel_uses_its_own_code(tmp_path: Path):
    (tmp_path / "regtorch").mkdir()
    (tmp_path / "regtorch" / "__init__.py").write_text("raise RuntimeError('the installed one was imported')\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    for script in ("train", "report"):
        command = [sys.executable, str(ROOT / "scripts" / f"{script}.py"), "--help"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_what_there_is_and_what_there_is_not(site: Path, tmp_path: Path):
    for words in (["--help"], []):
        done = regtorch(site, tmp_path, *words)
        assert done.returncode == (0 if words else 2)
        assert set(re.findall(r"^  (\w+)  +\w", done.stdout + done.stderr, re.MULTILINE)) == {*RUNS, "report"}
    wrong = regtorch(site, tmp_path, "tain", "reg=l2")
    assert wrong.returncode == 2
    assert "error: there is no program 'tain'" in wrong.stderr
    documents = regtorch(site, tmp_path, "report", "--documents")
    assert documents.returncode == 2
    assert "a checkout of the repository" in documents.stderr


@pytest.mark.slow
def test_a_process_of_lightning_s_is_the_same_program(site: Path, tmp_path: Path):
    words = [*FAST, "reg=l2", "trainer=ddp", "trainer.devices=2", "trainer.max_epochs=1", "logger=none"]
    done = regtorch(site, tmp_path, "train", *words)
    assert done.returncode == 0, done.stdout + done.stderr
