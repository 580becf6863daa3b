"""A run that is interrupted and resumed is the run that was not, to the bit: weights, metrics, record and tables."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from command_line import CommandLine, Result
from killed import Killed, killed_after
from regtorch.app.path.main import main as path_main
from regtorch.app.path.path_saves import PathSaves
from same_runs import assert_same, tables_of

pytestmark = pytest.mark.script
SMALL = ("model=mnist_mlp", "trainer=cpu", "trainer.max_epochs=3", "trainer.limit_train_batches=5")
RUNS = {
    "dropout": ("reg=dropout", "reg.rate=0.3", "trainer.log_every_n_steps=2"),
    "batch norm, mixed samples": ("model=cnn", "data.mixup=0.4", "trainer.limit_train_batches=5"),
    "validated within epochs": ("reg=l2", "trainer.val_check_interval=2", "trainer.log_every_n_steps=2"),
    "proximal, scheduled, accumulated": (
        *("reg=l1", "reg.proximal=true", "reg.schedule=warmup:7", "constraint=max_norm", "optimizer=sgd"),
        *("optimizer.momentum=0.9", "trainer.log_every_n_steps=2", "trainer.accumulate_grad_batches=2"),
    ),
    "nothing to log at a step": ("reg=none", "trainer.log_every_n_steps=7"),
    "pulled to the weights before training": ("reg=l2sp", "reg.lam=0.3", "trainer.log_every_n_steps=2"),
    "stopped early": ("reg=l2", "callbacks=[default,early_stopping]", "callbacks.stop.patience=1"),
}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capfd)


def resumes_to_the_bit(run: CommandLine, settings: tuple[str, ...], *steps: int) -> None:
    """Killed after each of these numbers of steps."""
    arguments = (*SMALL, *settings)
    whole = run(*arguments, "hydra.run.dir=whole", fast=False)
    assert whole.code == 0
    for step in steps:
        with killed_after(step):
            run(*arguments, f"hydra.run.dir=killed{step}", fast=False)
        resumed = run(f"resume=killed{step}", fast=False)
        assert (resumed.code, resumed.err) == (0, "")
        assert "resumed after step" in resumed.out
        assert_same(run.folder / "whole", run.folder / f"killed{step}")
        assert not (run.folder / f"killed{step}" / "saves").exists()


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("name", "steps"), [*zip(RUNS, [(1,), (4,), (7,), (4,), (5,), (4, 7), (7,)], strict=True)])
def test_a_run_resumes_to_the_bit(name: str, steps: tuple[int, ...], run: CommandLine):
    resumes_to_the_bit(run, RUNS[name], *steps)


def test_a_run_without_a_seed_resumes_with_the_net_that_it_began_with(run: CommandLine):
    """Whose weights L2SP pulls to."""
    drawn = (*SMALL, "reg=l2sp", "reg.lam=0.3", "seed=null", "data.seed=0")
    torch.manual_seed(5)
    assert run(*drawn, "hydra.run.dir=whole", fast=False).code == 0
    torch.manual_seed(5)
    with killed_after(4):
        run(*drawn, "hydra.run.dir=killed", fast=False)
    torch.manual_seed(6)
    assert run("resume=killed", fast=False).code == 0
    assert_same(run.folder / "whole", run.folder / "killed")


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_a_run_resumes_to_the_bit_after_any_step(name: str, run: CommandLine):
    resumes_to_the_bit(run, RUNS[name], 1, 4, 5, 7)


def test_a_moved_run_resumes_twice(run: CommandLine):
    assert run(*SMALL, *RUNS["dropout"], "hydra.run.dir=whole", fast=False).code == 0
    for steps, command in ((2, (*SMALL, *RUNS["dropout"], "hydra.run.dir=first")), (8, ("resume=moved",))):
        with killed_after(steps):
            run(*command, fast=False)
        if steps == 2:
            (run.folder / "first").rename(run.folder / "moved")
    assert run("resume=moved", fast=False).code == 0
    assert_same(run.folder / "whole", run.folder / "moved")


@pytest.fixture
def killed(run: CommandLine) -> Callable[..., Result]:
    """A killed run in the folder `killed`, and the command line to resume it."""
    with killed_after(7):
        run(*SMALL, "reg=l2", "hydra.run.dir=killed", fast=False)
    return lambda *arguments: run(*arguments, fast=False)


def test_a_broken_save_is_replaced_by_the_one_before(run: CommandLine):
    with killed_after(3, 8):
        run(*SMALL, "reg=l2", "hydra.run.dir=killed", fast=False)
    _, last = sorted((run.folder / "killed" / "saves").iterdir())
    (last / "state.ckpt").write_bytes(b"")
    result = run("resume=killed", fast=False)
    assert result.code == 0
    assert f"{last.name} is broken" in result.err
    assert "resumed after step 3" in result.out


@pytest.mark.sampled(1)
@pytest.mark.parametrize("program", ["train", "path"])
def test_a_run_without_an_intact_save_is_refused_and_left_as_it_is(
    program: str, run: CommandLine, monkeypatch: pytest.MonkeyPatch
):
    words = (*SMALL, "reg=l2", "reg.lam=0.1", "hydra.run.dir=killed")
    if program == "path":
        run.main, words = path_main, (*SMALL[:3], "reg=l2", "path.lams=[0.1]", "hydra.run.dir=killed")
        at_rest, states = PathSaves.at_rest, iter(range(9))

        def two(self: PathSaves) -> None:
            at_rest(self)
            if next(states) == 2:
                raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(PathSaves, "at_rest", two)
            with pytest.raises(Killed):
                run(*words, "save_every=1", fast=False)
    else:
        with killed_after(3, 8):
            run(*words, fast=False)
    folder = run.folder / "killed"
    saves = sorted((folder / "saves").iterdir(), reverse=True)
    assert len(saves) == 2
    for save in saves:
        (save / "state.ckpt").write_bytes(b"")
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and ".hydra" not in p.parts}
    result = run("resume=killed", fast=False)
    assert result.code == 2
    why = "is broken (state.ckpt does not match its checksum)"
    assert result.error.startswith(f"error: resume: {saves[0]} {why}; {saves[1]} {why}; no save is left, and nothing ")
    anew = result.err.strip().partition("; begin anew with: ")[2]
    assert anew.startswith(f"python scripts/{program}.py model=mnist_mlp ")
    assert "resume" not in anew
    assert {p: p.read_bytes() for p in before} == before
    fresh = run(*shlex.split(anew)[2:], fast=False)
    assert fresh.code == 0
    assert {p: p.read_bytes() for p in before} == before


def test_a_run_killed_in_its_first_save_begins_anew_in_a_clean_folder(run: CommandLine):
    """Of which a folder without a whole save is left."""
    with killed_after(3):
        run(*SMALL, "reg=l2", "hydra.run.dir=killed", fast=False)
    (save,) = (run.folder / "killed" / "saves").iterdir()
    save.rename(save.with_name(f".{save.name}.tmp"))
    assert run("resume=killed", fast=False).code == 0
    assert "killed has finished" in run("resume=killed", fast=False).out
    assert len(list((run.folder / "killed.failed-1").iterdir())) > 1
    rows = (run.folder / "killed" / "csv" / "metrics.csv").read_text()
    assert rows == (run(*SMALL, "reg=l2", fast=False).folder / "csv" / "metrics.csv").read_text()


def test_other_settings_are_refused(killed: Callable[..., Result]):
    result = killed("resume=killed", "reg.lam=0.5", "optimizer.lr=0.5")
    assert result.code == 2
    assert "began with reg.lam=0.01, now 0.5, reg.penalty.lam=0.01, now 0.5, optimizer.lr=0.001, now 0.5" in result.err
    more = killed("resume=killed", "trainer.max_epochs=4", "save_every=30s")
    assert (more.code, more.err) == (0, "")


def test_true_finds_the_newest_run_of_the_settings(killed: Callable[..., Result], run: CommandLine):
    (run.folder / "runs" / "mnist_mlp-l2").mkdir(parents=True)
    shutil.move(run.folder / "killed", run.folder / "runs" / "mnist_mlp-l2" / "2026-01-01")
    other = killed(*SMALL, "reg=l2", "reg.lam=0.02", "resume=true")
    assert "this one is new" in other.err
    result = killed(*SMALL, "reg=l2", "resume=true")
    assert result.code == 0
    assert "resumed after step 7" in result.out
    again = killed(*SMALL, "reg=l2", "resume=true")
    assert again.code == 0
    assert "has finished; nothing is left to do" in again.out
    assert killed(f"resume={result.folder}", "save_every=7").code == 0
    longer = killed(f"resume={result.folder}", "trainer.max_epochs=9")
    assert longer.code == 2
    assert "has finished with other settings; start a new run with these" in longer.err


def test_true_in_a_folder_begins_and_goes_on(killed: Callable[..., Result]):
    assert "resumed after step 7" in killed(*SMALL, "reg=l2", "hydra.run.dir=killed", "resume=true").out
    assert killed(*SMALL, "reg=l2", "hydra.run.dir=fresh", "resume=true").code == 0
    fresh = killed(*SMALL, "reg=l2", "hydra.run.dir=fresh", "resume=true")
    assert "has finished" in fresh.out
    (fresh.folder / "fresh" / "summary.json").write_text("{}")
    broken = killed(*SMALL, "reg=l2", "hydra.run.dir=fresh", "resume=true")
    assert broken.code == 2
    assert "summary.json: expected the summary of a run" in broken.err


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("resume=nowhere", "resume=nowhere: expected the folder of a run or a sweep"),
        ("resume=3", "resume=3: expected the folder of a run or a sweep"),
        ("save_every=soon", "save_every: expected a whole number of at least 1, a time such as 30s, 10min or 2h"),
        ("save_every=0", "save_every: expected a whole number of at least 1"),
    ],
)
def test_wrong_arguments(argument: str, message: str, run: CommandLine):
    result = run(argument)
    assert result.code != 0
    assert message in result.error


def test_a_run_without_saves_begins_again(killed: Callable[..., Result], run: CommandLine):
    shutil.rmtree(run.folder / "killed" / "saves")
    result = killed("resume=killed")
    assert result.code == 0
    assert "killed had not finished; what is left of it is now killed.failed-1" in result.out


def test_a_full_disk_stops_no_training(run: CommandLine, monkeypatch: pytest.MonkeyPatch):
    from regtorch.app.run.saves import store

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.Store, "write", full)
    result = run("save_every=1")
    assert result.code == 0
    assert "could not be saved (No space left on device); training goes on" in result.err


def test_jobs_of_a_sweep_resume(run: CommandLine):
    arguments = ("-m", *SMALL, "reg=l2", "reg.lam=0.1,0.01", "hydra.sweep.dir=sweep")
    with killed_after(7):
        run(*arguments, fast=False)
    result = run("resume=sweep", fast=False)
    assert result.code == 0
    assert result.out.count("resumed after step 7") == 1
    assert run(*arguments[:-1], "hydra.sweep.dir=whole", fast=False).code == 0
    for job in ("0", "1"):
        assert_same(run.folder / "whole" / job, run.folder / "sweep" / job)


PATHS = {
    "dropout, chunks, seeds": ("reg=dropout", "path.seeds=[0,1]", "path.rates=[0.1,0.4]", "path.chunk=2"),
    "one diverges": (
        *("reg=l1", "reg.proximal=true", "path.lams=[0,1e-3,1e30]", "constraint=max_norm", "reg.schedule=warmup:4"),
        "trainer.log_every_n_steps=2",
    ),
}


def a_path_resumes_to_the_bit(path: CommandLine, settings: tuple[str, ...], *all_steps: int) -> None:
    """Killed after each of these numbers of steps."""
    assert path(*SMALL, *settings, "hydra.run.dir=whole", fast=False).code == 0
    for steps in all_steps:

        def at_rest(self: PathSaves, steps: int = steps) -> None:
            trainer = self._work.trainer
            assert trainer is not None
            if (done := self._work.steps + trainer.steps) >= steps:
                self._saves.write(self._state(trainer), step=done, epoch=trainer.epochs)
                raise Killed

        with pytest.MonkeyPatch.context() as patch, suppress(Killed):
            patch.setattr(PathSaves, "at_rest", at_rest)
            path(*SMALL, *settings, f"hydra.run.dir=killed{steps}", fast=False)
        resumed = path(f"resume=killed{steps}", fast=False)
        assert resumed.code == 0
        assert "resumed after step" in resumed.out or "has finished" in resumed.out
        one, other = (tables_of(path.folder / name) for name in ("whole", f"killed{steps}"))
        assert one == other


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capfd, path_main, "paths")


@pytest.mark.sampled(1)
@pytest.mark.parametrize(("name", "steps"), [*zip(PATHS, [(19,), (8,)], strict=True)])
def test_a_path_resumes_to_the_bit(name: str, steps: tuple[int, ...], path: CommandLine):
    a_path_resumes_to_the_bit(path, PATHS[name], *steps)


@pytest.mark.slow
@pytest.mark.parametrize("name", PATHS)
def test_a_path_resumes_to_the_bit_after_any_step(name: str, path: CommandLine):
    a_path_resumes_to_the_bit(path, PATHS[name], 1, 5, 8, 19)
