"""Sweeps (`train.py -m`): what a second start does, what the terminal shows, and every launcher."""

import json
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from command_line import FAST, ROOT, CommandLine, Result
from regtorch.app.config import check_settings as settings
from regtorch.app.ground.locks import claimed
from regtorch.app.record.same_settings import identity

pytestmark = pytest.mark.script

Sweep = Callable[..., Result]
BARE = ("callbacks=none", "logger=none", "trainer.max_epochs=1")


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capfd)


@pytest.fixture
def sweep(train: CommandLine) -> Sweep:
    """Start a sweep in the folder `mine`."""

    def start(*arguments: str) -> Result:
        return train("-m", "reg=l2", *BARE, "hydra.sweep.dir=mine", *arguments)

    return start


def summaries(folder: Path) -> dict[str, dict[str, float]]:
    return {path.parent.name: json.loads(path.read_text())["final"] for path in folder.glob("*/summary.json")}


def strengths(folder: Path) -> dict[str, float]:
    """The strength of each finished job, by its folder."""
    found = {path.parent.name: json.loads(path.read_text()) for path in folder.glob("[0-9]/summary.json")}
    return {name: summary["config"]["reg"]["lam"] for name, summary in found.items()}


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.name != "lock"}


def test_a_second_start_runs_only_unfinished_jobs(sweep: Sweep, tmp_path: Path):
    mine = tmp_path / "mine"
    first = sweep("reg.lam=-1,1e-3,1e-2")
    assert first.code == 1
    assert first.err.splitlines()[-1] == (
        "error: 1 of 3 jobs failed or did not finish: reg.lam=-1 (reg.lam: expected a finite number of at least 0, "
        "received -1); all others are kept, and the same command with hydra.sweep.dir=mine runs these again"
    )
    assert strengths(mine) == {"1": 1e-3, "2": 1e-2}
    (mine / "2" / "summary.json").write_text('{"final": ')  # as after a full disk
    before = times(mine / "1")

    # Another grid: what it shares with the first is known by its settings, whatever its number is.
    second = sweep("reg.lam=1e-3,1e-2,1e-1,1")
    assert (second.code, second.err) == (0, "")
    assert "job 1 has finished before: reg.lam=0.001\n" in second.out
    assert "mine/2 had not finished; what is left of it is now 2.failed-1\n" in second.out
    assert times(mine / "1") == before
    assert strengths(mine) == {"1": 1e-3, "2": 1e-2, "3": 1.0, "4": 0.1}
    assert (mine / "0" / "error.txt").is_file()  # not of this grid, and left as it is
    assert "4 of 4 jobs  |  1 skipped  |  best by val/accuracy" in second.out

    third = sweep("reg.lam=1e-3,1e-2,1e-1,1", "debug=true")  # which changes nothing of a run
    assert third.code == 0
    assert third.out.count("has finished before") == 4
    assert "epoch 1/1" not in third.out


def test_a_job_of_another_process_is_left_alone(sweep: Sweep, tmp_path: Path):
    assert sweep("reg.lam=1e-3,1e-2").code == 0
    (tmp_path / "mine" / "1" / "summary.json").unlink()
    before = times(tmp_path / "mine" / "1")
    with claimed(tmp_path / "mine" / "1"):
        result = sweep("reg.lam=1e-3,1e-2")
    assert result.code == 1
    assert "job 1 is running in another process" in result.error
    assert times(tmp_path / "mine" / "1") == before


def test_settings_that_depend_on_the_job_number_stay_with_the_job(sweep: Sweep, tmp_path: Path):
    arguments = ("reg.lam=1e-3,1e-2,-1,1e-1", "seed='${hydra:job.num}'", "trainer.limit_train_batches=1")
    assert sweep(*arguments).code == 1
    (tmp_path / "mine" / "1" / "summary.json").unlink()
    result = sweep(*arguments)
    assert result.out.count("has finished before") == 2
    seeds = {f.parent.name: json.loads(f.read_text())["config"]["seed"] for f in tmp_path.glob("mine/?/summary.json")}
    assert seeds == {"0": 0, "1": 1, "3": 3}


def test_the_jobs_without_a_result_are_named_with_the_reason(sweep: Sweep):
    error = sweep("reg.lam=-1,-2,-3,-4,-5").err.splitlines()[-1]
    for strength in (-1, -2, -3):
        assert f"reg.lam={strength} (reg.lam: expected a finite number of at least 0, received {strength})" in error
    assert "received -3), 2 more; all others are kept" in error


def test_jobs_that_share_a_folder_are_refused_before_any_runs(sweep: Sweep, tmp_path: Path):
    result = sweep("reg.lam=1e-3,1e-2", "hydra.sweep.subdir=one")
    assert result.code == 2
    assert "include the job number" in result.error
    assert not list(tmp_path.rglob("summary.json"))


def test_a_folder_of_another_program_is_refused(train: CommandLine, sweep: Sweep):
    assert train(*BARE, "hydra.run.dir=mine").code == 0
    result = sweep("reg.lam=1e-3,1e-2")
    assert result.code == 2
    assert "hydra.sweep.dir=mine holds another run's files" in result.error


def test_on_a_terminal_one_bar_shows_the_sweep(sweep: Sweep, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    progress = "+callbacks.progress._target_=regtorch.app.terminal.progress.Progress"
    out = sweep("reg.lam=-1,1e-3", progress, "hydra.sweep.dir=another").out
    for part in ("jobs", "2/2", "1 failed  |  best by val/accuracy", "epoch 1/1", "train: task_loss"):
        assert part in out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plugin", "launcher"),
    [
        ("hydra_joblib_launcher", ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")),
        ("hydra_submitit_launcher", ("hydra/launcher=submitit_local",)),
        ("hydra_ray_launcher", ("hydra/launcher=ray",)),
    ],
)
def test_other_launchers_leave_the_same_files(sweep: Sweep, tmp_path: Path, plugin: str, launcher: tuple[str, ...]):
    pytest.importorskip(f"hydra_plugins.{plugin}", reason=f"{plugin} is not installed")
    # In a process of its own: launchers write to streams that other tests' packages may have got hold of.
    small = [word for word in FAST if not word.startswith("trainer.max_epochs")]  # BARE has its own
    command = [sys.executable, str(ROOT / "scripts" / "train.py"), "-m", *small, "reg=l2", *BARE, "reg.lam=-1,1e-3"]
    result = subprocess.run(
        [*command, "hydra.sweep.dir=mine", *launcher], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    error = "error: job 0, reg.lam=-1: reg.lam: expected a finite number of at least 0, received -1"
    assert error in result.stderr.splitlines()
    assert "job 1, reg.lam=0.001: val/accuracy" in result.stdout
    assert "epoch 1/1" not in result.stdout  # several at once would write over one another
    assert "initial penalty" in (tmp_path / "mine" / "1" / "log.txt").read_text()
    again = sweep("reg.lam=1e-3,1e-2")  # by the basic launcher, after the other
    assert again.code == 0
    assert "job 1 has finished before" in again.out
    alone = sweep("reg.lam=1e-3", "hydra.sweep.dir=alone")
    assert alone.code == 0
    assert summaries(tmp_path / "alone")["0"] == pytest.approx(summaries(tmp_path / "mine")["1"], rel=1e-5)


def test_equal_settings_are_equal_wherever_a_run_writes():
    def settings(out_dir: str, lam: float = 0.1, **more: object) -> str | None:
        return identity(OmegaConf.create({"out_dir": out_dir, "dir": "${out_dir}/x", "lam": lam, **more}))

    assert settings("/a/1") == settings("/b/2", debug=True) != settings("/a/1", lam=0.2)
    assert settings("/a/1", dir="/a/1x") == settings("/a/2", dir="/a/1x")  # not in the run's folder
    assert settings("/a/1", lam="${gone}") is None


@pytest.mark.parametrize("logger", ["mlflow", "wandb"])
def test_a_missing_logger_package_is_reported(train: CommandLine, monkeypatch: pytest.MonkeyPatch, logger: str):
    monkeypatch.setattr(settings, "find_spec", lambda name: None if name == logger else find_spec(name))
    result = train("callbacks=none", f"logger={logger}")
    assert result.code == 2
    assert f"{logger} is not installed" in result.error
    assert f"pip install 'regtorch[{logger}]'" in result.error


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # SQLAlchemy's, of MLflow's tables
def test_mlflow_has_settings_and_metrics_in_the_runs_folder(train: CommandLine):
    tracking = pytest.importorskip("mlflow.tracking", reason="mlflow is not installed")
    folder = train("callbacks=none", "logger=mlflow", "reg=l2", "reg.lam=0.5").folder
    client = tracking.MlflowClient(f"sqlite:///{folder}/mlflow/mlflow.db")
    (run,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert run.data.params["reg/lam"] == "0.5"
    assert run.data.params["choices/model"] == "mnist_mlp"
    final = json.loads((folder / "summary.json").read_text())["final"]
    assert run.data.metrics["val/penalty"] == pytest.approx(final["val/penalty"])
    assert (folder / "csv" / "metrics.csv").is_file()


def test_wandb_writes_into_the_runs_folder_and_each_job_has_its_own(train: CommandLine, tmp_path: Path):
    pytest.importorskip("wandb", reason="wandb is not installed")
    assert train("-m", "reg=none,l2", "callbacks=none", "logger=wandb", "hydra.sweep.dir=mine").code == 0
    for job in ("0", "1"):
        (log,) = (tmp_path / "mine" / job / "wandb").glob("offline-run-*/run-*.wandb")
        assert log.stat().st_size > 0
        assert (tmp_path / "mine" / job / "csv" / "metrics.csv").is_file()
