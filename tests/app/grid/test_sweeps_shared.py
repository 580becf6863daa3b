"""Sweeps (`train.py -m`) in a folder that others use, or that something has damaged."""

import json
from collections.abc import Callable
from contextlib import redirect_stdout
from errno import ENOSPC
from io import StringIO
from pathlib import Path

import pytest
from hydra.core import utils
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.file_proxy import FileProxy

from command_line import CommandLine, Result
from regtorch.app.grid import launch as grid
from regtorch.app.ground.errors import RunError
from regtorch.app.ground.locks import claimed
from regtorch.app.record.same_settings import same_run
from regtorch.app.terminal.table import jobs_of, print_jobs, print_metrics

pytestmark = pytest.mark.script

Sweep = Callable[..., Result]
QUICK = ("callbacks=none", "logger=none", "trainer.max_epochs=1", "trainer.limit_train_batches=1", "doctor=false")
BY_NAME = "hydra.sweep.subdir='${hydra:job.override_dirname}'"


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Sweep:
    """Start a sweep in the folder `mine`."""
    train = CommandLine(tmp_path, monkeypatch, capfd)
    return lambda *arguments: train("-m", "reg=l2", *QUICK, "hydra.sweep.dir=mine", *arguments)


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "lock"}


def test_two_sweeps_at_once_in_a_folder_are_refused(sweep: Sweep, tmp_path: Path):
    assert sweep("reg.lam=1e-3").code == 0
    before = files(tmp_path)
    with claimed(tmp_path / "mine"):  # as a sweep that is at work there
        second = sweep("reg.lam=1e-2,1e-3")
    assert second.code == 1
    assert second.error == ("error: mine is in use by another sweep; start again when it has ended\n")
    assert second.out == ""  # nor the other's table
    assert files(tmp_path) == before
    assert sweep("reg.lam=1e-2,1e-3").code == 0


def test_a_finished_run_of_other_settings_is_not_written_over(sweep: Sweep, tmp_path: Path):
    assert sweep("reg.lam=1e-3").code == 0
    folder = tmp_path / "mine" / "0"
    config = OmegaConf.create(json.loads((folder / "summary.json").read_text())["config"])
    assert same_run(folder, config) is not None
    assert same_run(tmp_path / "elsewhere", config) is None
    config.reg.lam = 1e-2
    with pytest.raises(RunError, match=r"mine/0 holds a run with other settings"):
        same_run(folder, config)


def test_a_job_of_a_queue_leaves_a_finished_run_of_other_settings(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert sweep("reg.lam=1e-3").code == 0
    before = (tmp_path / "mine" / "0" / "summary.json").read_bytes()
    # As a sweep's that was killed: its job begins late, in a folder that another one has used meanwhile.
    monkeypatch.setattr(grid, "_free", lambda config, sweep, *_: (sweep / "0", "new"))
    monkeypatch.setattr(grid, "move_aside", lambda folder: None)
    assert "mine/0 holds a run with other settings" in sweep("reg.lam=1e-2").error
    assert (tmp_path / "mine" / "0" / "summary.json").read_bytes() == before


@pytest.mark.parametrize(
    "text", ["- reg.lam=1e-3\n- [", *(pytest.param(text, marks=pytest.mark.slow) for text in (None, "", "7"))]
)
def test_a_jobs_damaged_files_are_reported_in_its_row(sweep: Sweep, tmp_path: Path, text: str | None):
    assert sweep("reg.lam=-1,1e-3").code == 1
    overrides = tmp_path / "mine" / "1" / ".hydra" / "overrides.yaml"
    overrides.unlink() if text is None else overrides.write_text(text)
    assert sweep("reg.lam=-1,1e-3").code == 1
    again = sweep("reg.lam=1e-3", BY_NAME)
    assert again.code == 0  # it has finished, whatever its command was
    assert "overrides" in again.out.split("error")[1]


def test_the_best_epoch_and_the_last_one_are_distinguished(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    callback = {"_target_": "lightning.pytorch.callbacks.ModelCheckpoint", "monitor": "val/score"}
    for name, last, best in (("0", 0.7, 0.8), ("[1]", 0.6, 0.9), ("2", 0.75, 0.75)):
        (tmp_path / name / ".hydra").mkdir(parents=True)
        (tmp_path / name / ".hydra" / "overrides.yaml").write_text(f"- seed={name}")
        final = {"val/accuracy": last, "test/accuracy": 0.5}
        summary = {"final": final, "best": {"epoch": 3, "val/accuracy": best}, "config": {"callbacks": {"a": callback}}}
        (tmp_path / name / "summary.json").write_text(json.dumps(summary))
    print_jobs(jobs_of(tmp_path))
    out = capsys.readouterr().out
    assert "→ best val/accuracy" in out
    rows = [line.split() for line in out.splitlines() if "seed=" in line]
    assert ["→", "[1]", "seed=[1]", "0.6000", "0.5000", "0.9000", "3"] in rows
    assert sum(row[0] == "→" for row in rows) == 1


def test_the_metrics_are_printed_above_a_live_bar():
    bars, beside = Console(file=StringIO(), width=100), StringIO()
    with redirect_stdout(FileProxy(bars, beside)):  # as a live bar's
        print_metrics({"val/loss": 0.25}, None)
    assert isinstance(bars.file, StringIO)
    assert "0.2500" in bars.file.getvalue()
    assert beside.getvalue() == ""


def test_an_error_without_a_message_is_reported(tmp_path: Path):
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "error.txt").write_text("")
    (job,) = jobs_of(tmp_path, [tmp_path / "0"])
    assert job.record is None
    assert job.error is not None


def test_a_job_whose_folder_cannot_be_made_does_not_end_the_others(sweep: Sweep, tmp_path: Path):
    long = "x" * 300
    result = sweep(
        f"data.dir={long},data", "reg.lam=1e-3", BY_NAME, "hydra.job.config.override_dirname.exclude_keys=[]"
    )
    assert result.code == 1
    assert "File name too long" in result.error
    assert "1 of 2 jobs failed or did not finish" in result.err
    (finished,) = (tmp_path / "mine").rglob("summary.json")
    assert json.loads(finished.read_text())["config"]["data"]["dir"] == "data"


def test_a_job_that_hydra_cannot_begin_does_not_end_the_others(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    save = utils._save_config

    def full(config: DictConfig, filename: str, output_dir: Path) -> None:
        if output_dir.parent.name == "0":
            raise OSError(ENOSPC, "No space left on device")
        save(config, filename, output_dir)

    monkeypatch.setattr(utils, "_save_config", full)
    result = sweep("reg.lam=1e-3,1e-2")
    assert result.code == 1
    assert result.error.startswith("error: job 0, reg.lam=0.001: no space left on device; free some space")
    assert "space" in result.out  # its row, in lines of a column's width
    assert (tmp_path / "mine" / "1" / "summary.json").is_file()


def test_an_incomplete_run_is_moved_aside(sweep: Sweep, tmp_path: Path):
    assert sweep("reg.lam=1e-3", BY_NAME).code == 0
    (summary,) = (tmp_path / "mine").rglob("summary.json")
    summary.unlink()
    (summary.parent / ".hydra" / "config.yaml").write_text("reg: [")
    result = sweep("reg.lam=1e-3,1e-2", BY_NAME)
    assert (result.code, result.err) == (0, "")
    assert "what is left of it is now" in result.out
    assert len(list((tmp_path / "mine").rglob("summary.json"))) == 2


@pytest.mark.parametrize("more", [(), (BY_NAME,)])
def test_repeated_settings_run_once(sweep: Sweep, tmp_path: Path, more: tuple[str, ...]):
    result = sweep("reg.lam=1e-3,1e-3,0.01", *more)
    assert (result.code, result.err) == (0, "")
    assert "reg.lam=0.001 is repeated; it runs once" in result.out
    assert len(list((tmp_path / "mine").rglob("summary.json"))) == 2


@pytest.mark.parametrize("most", ["-1", "0", "x", "1.5", "true"])
def test_an_invalid_batch_size_is_reported(sweep: Sweep, tmp_path: Path, most: str):
    result = sweep("reg.lam=1e-3", f"hydra.sweeper.max_batch_size={most}")
    assert result.code == 2
    assert "hydra.sweeper.max_batch_size: expected a whole number of at least 1 or null" in result.error
    assert not (tmp_path / "mine").exists()


def test_a_file_with_the_folders_name_is_reported(sweep: Sweep, tmp_path: Path):
    (tmp_path / "mine").write_text("")
    result = sweep("reg.lam=1e-3")
    assert result.code == 2
    assert "hydra.sweep.dir=mine is a file; name a folder" in result.error
