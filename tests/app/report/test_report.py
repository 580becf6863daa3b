"""scripts/report.py: training what is missing, and what it says of what is wrong."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest

from documents import training as training_runs
from documents.claims import Claim, Document, Setting
from documents.runs import find, missing
from documents.training import train_missing
from places import ROOT

pytestmark = pytest.mark.script

CLAIM = Claim(
    *("one", "Why?", "A net.", "It falls."),
    verdict="holds",
    why="Because.",
    settings=(Setting("a", "'reg.select=kernel largest:1' trainer.max_epochs=5", seeds=2),),
)
DOCUMENT = Document("Title", "Author", (CLAIM,))
RUNS = "a run's folder, b=1"

# As train.py: it writes its files, or an error, and takes no used folder.
SCRIPT = """
import json, os, signal, sys
from pathlib import Path
*overrides, last = sys.argv[1:]
folder = Path(last.removeprefix("hydra.run.dir=")[1:-1].replace("\\\\'", "'"))
folder.joinpath(".hydra").mkdir(parents=True)
folder.joinpath(".hydra", "overrides.yaml").write_text(json.dumps(overrides))
if "data.dir=broken" in overrides and "seed=0" in overrides:
    folder.joinpath("error.txt").write_text("broken")
    sys.exit(1)
if "data.dir=interrupted" in overrides:
    folder.joinpath("error.txt").write_text("interrupted")
    os.kill(os.getppid(), signal.SIGINT)
    sys.exit(130)
folder.joinpath("summary.json").write_text(json.dumps({"final": {}}))
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    return path


def train(script: Path, *extra: str) -> list[str]:
    runs = script.parent / RUNS
    failed = train_missing(find([DOCUMENT], runs), runs, script, extra)
    return [folder.relative_to(runs).as_posix() for folder in failed]


def state(script: Path) -> tuple[list[str], list[str]]:
    runs = script.parent / RUNS
    return missing(find([DOCUMENT], runs)), sorted(path.name for path in runs.glob("one/a/*"))


def test_what_failed_is_moved_aside_and_trained_again(script: Path):
    for number in range(3):
        assert train(script, "data.dir=broken") == ["one/a/0"]
        aside = [f"0.failed-{n}" for n in range(1, number + 1)]
        assert state(script) == (["one (a: 1 of 2)"], ["0", *aside, "1"])
    assert train(script, "data.dir=data") == []
    assert state(script) == ([], ["0", "0.failed-1", "0.failed-2", "0.failed-3", "1"])
    assert (script.parent / RUNS / "one/a/0.failed-3/error.txt").read_text() == "broken"
    assert train(script) == []


def test_an_interrupted_run_ends_all_and_is_trained_again(script: Path):
    with pytest.raises(KeyboardInterrupt):
        train(script, "data.dir=interrupted")
    assert state(script) == (["one (a: 0 of 2)"], ["0"])
    assert train(script) == []
    assert state(script) == ([], ["0", "0.failed-1", "1"])


def test_a_run_made_by_other_overrides_is_not_trained_over(script: Path):
    assert train(script) == []
    folder = script.parent / RUNS / "one" / "a" / "1"
    (folder / ".hydra" / "overrides.yaml").write_text('["seed=1"]')
    with pytest.raises(ValueError, match="/1 was made by other overrides .*max_epochs=5.*; move the folder away"):
        train(script)
    (folder / "summary.json").write_text("[]")
    with pytest.raises(ValueError, match=r"summary.json: expected .*; move the folder away"):
        train(script)
    assert state(script)[1] == ["0", "1"]


@pytest.mark.parametrize("extra", ["trainer.max_epochs=1", "reg.lam=1", "seed=3"])
def test_overrides_that_change_what_is_measured_are_refused(script: Path, extra: str):
    with pytest.raises(ValueError, match=f"overrides: expected .*, received {extra}"):
        train(script, extra)
    assert state(script)[1] == []


def report(monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: str) -> int:
    paths = [f"--claims={folder / 'claims'}", f"--runs={folder / RUNS}", f"--page={folder / 'page'}"]
    monkeypatch.setattr(sys, "argv", ["report.py", "--documents", *paths, *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "scripts" / "report.py"), run_name="__main__")
    assert isinstance(ended.value.code, int)
    return ended.value.code


def claims(folder: Path, **change: object) -> None:
    texts = dict.fromkeys(("question", "net", "said", "why"), "A text.")
    setting = {"label": "a", "overrides": "model=mnist_mlp trainer.max_epochs=1 trainer.limit_train_batches=2"}
    claim = {"name": "one", "verdict": "holds", **texts, "settings": [{**setting, "seeds": 1}], "show": ["val/loss"]}
    (folder / "claims").mkdir()
    document = {"title": "T", "author": "A", "claims": [{**claim, **change}]}
    (folder / "claims" / "000.yaml").write_text(json.dumps(document))


@pytest.mark.slow
def test_the_script_trains_and_writes_the_page(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    claims(tmp_path)
    assert report(monkeypatch, tmp_path) == 0
    assert "missing: one (a: 0 of 1)" in capfd.readouterr().out
    assert report(monkeypatch, tmp_path, "--train", "trainer=cpu", "logger=csv", "compile=false") == 0
    out, _ = capfd.readouterr()
    assert "missing" not in out
    text = (tmp_path / "page").read_text()
    assert "| a | 1 | " in text
    assert "Run on cpu with torch" in text
    assert "a: run with `compile=false`." in text


def test_the_script_says_what_is_wrong_in_a_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    claims(tmp_path, show="val/accuracy")
    assert report(monkeypatch, tmp_path) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {tmp_path}/claims/000.yaml: claim one: show: expected a list")
    assert not (tmp_path / "page").exists()
    assert report(monkeypatch, tmp_path, "trainer=cpu") == 2
    assert "overrides are for --train" in capsys.readouterr().err


def test_ctrl_c_is_a_line_and_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    claims(tmp_path)
    monkeypatch.setattr(training_runs, "train_missing", interrupted)
    assert report(monkeypatch, tmp_path, "--train") == 130
    assert capsys.readouterr().err == "interrupted; the same command continues\n"
