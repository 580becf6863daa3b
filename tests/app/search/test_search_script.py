"""`scripts/search.py` from its command line to its files."""

import csv
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from command_line import FAST, ROOT, CommandLine
from regtorch.app.search.main import main

pytestmark = pytest.mark.script


def search(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """In processes of its own, as workers are started by the script's name."""
    command = [sys.executable, str(ROOT / "scripts" / "search.py"), *FAST, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_continuing_a_search(tmp_path: Path) -> None:
    settings = ("reg=l2", "optimizer=sgd", "search.lam=[1e-4,1e30]", "search.sampler=random", "logger=csv")
    first = search(tmp_path, *settings, "search.trials=2")
    folder = tmp_path / "searches" / "search"
    assert first.returncode in (0, 1), first.stderr  # 1 where both drew the strength that diverges
    (folder / "error.txt").write_text("interrupted\n")
    second = search(tmp_path, *settings, "search.trials=5", "search.workers=2")
    assert second.returncode == 0, second.stderr + (folder / "workers.log").read_text()
    assert not (folder / "error.txt").exists(), "of the start before"
    results = json.loads((folder / "search.json").read_text())
    trials = results["trials"]
    assert [trial["number"] for trial in trials] == [0, 1, 2, 3, 4]
    for trial in trials:
        diverges = trial["parameters"]["reg.lam"] == 1e30
        assert trial["state"] == ("fail" if diverges else "complete"), trial
        assert ("training diverged" in (trial["reason"] or "")) == diverges
        assert Path(trial["folder"], "error.txt").exists() == diverges
        assert Path(trial["folder"], "summary.json").exists() != diverges
    assert {trial["parameters"]["reg.lam"] for trial in trials} == {1e-4, 1e30}, "another seed, another test"
    with open(folder / "trials.csv", newline="") as rows:
        assert [row["state"] for row in csv.DictReader(rows)] == [trial["state"] for trial in trials]
    command = shlex.split(results["best"]["command"])
    assert command[:2] == ["python", str(ROOT / "scripts" / "train.py")]
    assert {"reg=l2", "reg.lam=0.0001", "logger=csv"} <= {*command}
    assert results["best"]["command"] in second.stdout

    moved = tmp_path / "elsewhere"
    folder.rename(moved)
    third = search(tmp_path, *settings, "search.trials=6", "hydra.run.dir=elsewhere")
    assert third.returncode == 0, third.stderr
    assert not folder.exists()
    results = json.loads((moved / "search.json").read_text())
    assert [trial["folder"] for trial in results["trials"]] == [f"{moved}/trials/{number}" for number in range(6)]
    assert (moved / "trials" / "5" / "log.txt").exists()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capfd, main, "searches")


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("search.trials=0",), "search.trials: expected a whole number of at least 1, received 0"),
        (("search.workers=two",), "search.workers: expected a whole number of at least 1"),
        (("search.pruner=medain",), "search.pruner: expected median, hyperband, none, received 'medain'; did you mean"),
        (("search.monitor=accuracy",), "search.monitor: expected a metric such as val/score or val/task_loss"),
        (("reg.lam=0.1",), "reg.lam=0.1: reg.lam is searched; omit it"),
        (("search.lam=null",), "search: expected a range, received none"),
        (("search.name=null",), "search.name: expected a name, received None"),
        (("search.name=''",), "search.name: expected a name, received ''"),
        (("search.worker=true", "search.name=none"), "search.name=none: expected a search of"),
        (("search.storage=sqlite:////no/such/folder/a.db",), "cannot be opened"),
    ],
)
def test_settings_that_cannot_be_searched(run: CommandLine, arguments: tuple[str, ...], message: str) -> None:
    result = run("reg=l2", *arguments)
    assert result.code == 2
    assert message in result.error


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("search.also={optimizer.rate: 'log:1e-4:1e-1'}", "invalid trial optimizer.rate=0.0001"),
        ("search.also={reg: [l1, l3]}", "invalid trial reg=l3"),
        ("search.also={trainer.max_epoch: [1, 2]}", "did you mean"),
        ("search.pruner=hyperband", "search.pruner=hyperband divides epochs; give trainer.max_epochs"),
    ],
)
def test_impossible_trials_are_reported_before_the_search(run: CommandLine, given: str, said: str) -> None:
    result = run("search.lam=null" if "also" in given else "reg=l2", given, "trainer.max_epochs=-1")
    assert result.code == 2
    assert said in result.error


@pytest.mark.parametrize("values", ["choice:1e-3,1e-2", "choice(1e-3,1e-2)", "1e-3,1e-2"])
def test_several_values_that_are_no_list_are_answered_with_the_list(run: CommandLine, values: str) -> None:
    result = run("reg=l2", f"search.lam={values}")
    assert result.code == 2
    assert f"search.lam={values}: expected one value, received several; give one" in result.error
    (meant,) = re.findall(r"write (\S+)$", result.error)
    assert meant == "search.lam=[1e-3,1e-2]"
    again = run("reg=l2", meant, "search.trials=0")
    assert again.error.startswith("error: search.trials:"), "the list was taken"


def test_several_values_of_a_group(run: CommandLine) -> None:
    assert run("reg=l1,l2").error == "error: reg=l1,l2: expected one value, received several; give one\n"
    result = run("reg=l2", "search.lam=range(1,3)")
    assert result.error == "error: search.lam=range(1,3): expected one value, received several; give one\n"


def test_also(run: CommandLine) -> None:
    help = run("--help").out
    (also,) = re.findall(r"'(search\.also=.*)'$", help, re.MULTILINE)
    result = run("reg=l2", "search.lam=null", also.replace("log:1e-4:1e-1", "log:1:1"))
    assert result.error.startswith("error: search.also.optimizer.lr: expected log:LOW:HIGH")


def test_help(run: CommandLine) -> None:
    result = run("--help")
    assert result.code == 0
    assert "search.trials=40" in result.out
