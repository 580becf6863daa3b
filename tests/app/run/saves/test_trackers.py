"""A resumed run goes on with its run at a tracker: MLflow's and Weights & Biases'."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from command_line import CommandLine
from killed import killed_after

pytestmark = pytest.mark.script
SMALL = ("model=mnist_mlp", "trainer=cpu", "trainer.max_epochs=3", "trainer.limit_train_batches=5", "callbacks=none")
TRACKERS = """
import json
from pathlib import Path
from types import SimpleNamespace

from lightning.pytorch.loggers import MLFlowLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only


class _Book:
    '''Writes what it is told into a file for each run of the tracker.'''

    def _begin(self, run, place):
        self._place = Path(place)
        self._place.mkdir(exist_ok=True)
        self._book = run or f"run-{len(list(self._place.iterdir()))}"
        self._note("begun" if run is None else "gone on with")

    def _note(self, *what):
        with open(self._place / f"{self._book}.txt", "a") as file:
            file.write(json.dumps(what) + chr(10))

    name, save_dir, experiment = "tracker", None, None

    @property
    def version(self):
        return self._book

    @rank_zero_only
    def log_hyperparams(self, params):
        self._note("settings", params["seed"])

    @rank_zero_only
    def log_metrics(self, metrics, step=None):
        self._note("metrics", step, metrics)

    def finalize(self, status):
        self._note("ended", status)

    def after_save_checkpoint(self, checkpoint_callback):
        pass


class _Client:
    def __init__(self, book):
        rows = [json.loads(line) for line in book.read_text().splitlines()]
        self.rows = [row for row in rows if row[0] == "metrics"]

    def get_run(self, run_id):
        keys = {key: 0.0 for row in self.rows for key in row[2]}
        return SimpleNamespace(data=SimpleNamespace(metrics=keys))

    def get_metric_history(self, run_id, key):
        return [SimpleNamespace(step=row[1]) for row in self.rows if key in row[2]]


class MLflow(_Book, MLFlowLogger):
    experiment = property(lambda self: _Client(self._place / f"{self._book}.txt"))
    run_id = property(lambda self: self._book)

    def __init__(self, place: str = "tracker", run_id: str | None = None):
        self._begin(run_id, place)


class Wandb(_Book, WandbLogger):
    def __init__(self, place: str = "tracker", id: str | None = None):
        self._begin(id, place)
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> CommandLine:
    (tmp_path / "stand_ins.py").write_text(TRACKERS)
    monkeypatch.syspath_prepend(tmp_path)
    return CommandLine(tmp_path, monkeypatch, capfd)


def own_logger(folder: Path, node: str) -> None:
    (folder / "mine" / "logger").mkdir(parents=True)
    (folder / "mine" / "logger" / "own.yaml").write_text(f"tracker: {{{node}}}\n")


@pytest.mark.parametrize("kind", ["MLflow", "Wandb"])
def test_the_run_of_a_tracker_goes_on(kind: str, run: CommandLine):
    own_logger(run.folder, f"_target_: stand_ins.{kind}")
    with killed_after(7):
        run("--config-dir=mine", *SMALL, "logger=own", "hydra.run.dir=killed", fast=False)
    result = run("resume=killed", "trainer.max_epochs=4", fast=False)
    assert (result.code, result.err) == (0, "")
    (book,) = (run.folder / "tracker").iterdir()
    notes = [json.loads(line) for line in book.read_text().splitlines()]
    assert [note for note in notes if note[0] not in ("metrics", "ended")] == [
        ["begun"],
        ["settings", 0],
        ["gone on with"],  # with the settings it has: MLflow refuses to change them
    ]
    assert [note[1] for note in notes if note[0] == "metrics" and "val/loss" in note[2]] == [4, 9, 14, 19]


def rows_of(book: Path) -> list[list[Any]]:
    """What was logged to a stand-in, as [step, name, value]."""
    notes = [json.loads(line) for line in book.read_text().splitlines()]
    return [[note[1], *row] for note in notes if note[0] == "metrics" for row in sorted(note[2].items())]


def events_of(run: Path) -> list[tuple[str, int, float]]:
    """All numbers in TensorBoard's files of a run, in the order in which they were written."""
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    files = sorted(run.glob("tensorboard/events*"), key=lambda path: int(path.name.rpartition(".")[2]))
    events = [event for path in files for event in LegacyEventFileLoader(str(path)).Load()]
    return [(value.tag, event.step, value.simple_value) for event in events for value in event.summary.value]


EACH = (*SMALL, "trainer.log_every_n_steps=1", "trainer.limit_val_batches=1")


def test_tensorboard_shows_the_curve_of_the_uninterrupted_run(run: CommandLine):
    assert run(*EACH, "logger=tensorboard", "hydra.run.dir=whole", fast=False).code == 0
    with killed_after(3, 7, after=9):
        run(*EACH, "logger=tensorboard", "hydra.run.dir=killed", fast=False)
    with killed_after(11, after=14):
        run("resume=killed", fast=False)
    assert len(events_of(run.folder / "killed")) > 50
    assert run("resume=killed", fast=False).code == 0
    assert events_of(run.folder / "killed") == events_of(run.folder / "whole")


def test_mlflow_gets_no_row_again(run: CommandLine):
    own_logger(run.folder, "_target_: stand_ins.MLflow")
    assert run("--config-dir=mine", *EACH, "logger=own", "hydra.run.dir=whole", fast=False).code == 0
    with killed_after(3, 7, after=9):
        run("--config-dir=mine", *EACH, "logger=own", "hydra.run.dir=killed", fast=False)
    assert run("resume=killed", fast=False).code == 0
    whole, killed = (rows_of(run.folder / "tracker" / f"run-{number}.txt") for number in (0, 1))
    assert sorted(killed) == sorted(whole)


def test_rows_at_wandb_name_the_save_that_they_go_on_from(run: CommandLine):
    own_logger(run.folder, "_target_: stand_ins.Wandb")
    with killed_after(3, 7, after=9):
        run("--config-dir=mine", *EACH, "logger=own", "hydra.run.dir=killed", fast=False)
    assert run("resume=killed", fast=False).code == 0
    (book,) = (run.folder / "tracker").iterdir()
    notes = [json.loads(line) for line in book.read_text().splitlines() if line.startswith('["metrics"')]
    rows = [(step, row.get("trainer/resumed_after", 0)) for _, step, row in notes if "train/loss_step" in row]
    assert [row for row in rows if row[1] == 0] == [
        (step, 0) for step in range(8)
    ]  # the ninth is logged after all hooks
    again = range(6, 15)  # the save within the seventh step is written before that step's row
    assert [row for row in rows if row[1] == 7] == [(step, 7) for step in again]


def test_a_run_that_the_config_names_is_used(run: CommandLine):
    own_logger(run.folder, "_target_: stand_ins.MLflow, run_id: named")
    with killed_after(7):
        run("--config-dir=mine", *SMALL, "logger=own", "hydra.run.dir=killed", fast=False)
    assert run("resume=killed", fast=False).code == 0
    assert [path.name for path in (run.folder / "tracker").iterdir()] == ["named.txt"]


def test_mlflow_has_one_run(run: CommandLine):
    tracking = pytest.importorskip("mlflow.tracking", reason="mlflow is not installed")
    with killed_after(7):
        run(*SMALL, "logger=mlflow", "hydra.run.dir=killed", fast=False)
    assert run("resume=killed", "trainer.max_epochs=4", fast=False).code == 0
    client = tracking.MlflowClient(f"sqlite:///{run.folder}/killed/mlflow/mlflow.db")
    experiment = client.get_experiment_by_name("regtorch")
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.status == "FINISHED"
    history = client.get_metric_history(found.info.run_id, "val/loss")
    assert [metric.step for metric in history] == [4, 9, 14, 19]


def test_wandb_has_one_run(run: CommandLine):
    pytest.importorskip("wandb", reason="wandb is not installed")
    with killed_after(7):
        run(*SMALL, "logger=wandb", "hydra.run.dir=killed", fast=False)
    assert run("resume=killed", fast=False).code == 0
    folders = sorted((run.folder / "killed" / "wandb").glob("offline-run-*"))
    assert len(folders) == 2  # of each process one; they are synchronized into one run
    assert len({folder.name.rpartition("-")[2] for folder in folders}) == 1
