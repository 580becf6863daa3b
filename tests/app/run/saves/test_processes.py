"""Runs of several processes, and runs in a queue, that are killed or asked to end go on to the bit."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from random import Random
from time import monotonic, sleep

import pytest
import torch

from places import ROOT
from same_runs import assert_same

pytestmark = [pytest.mark.script, pytest.mark.slow]
WORDS = ("model=mnist_mlp", "reg=dropout", "constraint=max_norm", "save_every=2", "trainer.max_epochs=4")
SHORT = (*WORDS, "trainer.limit_train_batches=6", "trainer.accelerator=cpu")
LONG = (*SHORT, "trainer.max_epochs=20")
DDP = (*SHORT, "trainer=ddp", "trainer.devices=2")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}


def started(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    """A process of the program and those that it starts, in a group of their own."""
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "regtorch", "train", *words],
            cwd=folder,
            env=ENVIRONMENT,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def finished(folder: Path, *words: str) -> None:
    assert started(folder, *words).wait(100) == 0, (folder / "log.txt").read_text()[-3000:]


def newest(run: Path) -> int:
    """The number of the newest save."""
    return max((int(path.name[-6:]) for path in run.glob("saves/save-*")), default=0)


def wait_for_a_save(run: Path, process: subprocess.Popen[bytes], after: int) -> None:
    """Wait until a process writes a save after that of a number."""
    deadline = monotonic() + 120
    while newest(run) <= after:
        assert process.poll() is None
        assert monotonic() < deadline
        sleep(0.01)


def test_two_processes_that_are_killed_go_on_and_are_deterministic(tmp_path: Path):
    for name in ("whole", "again"):
        finished(tmp_path, *DDP, f"hydra.run.dir={name}")
    assert_same(tmp_path / "whole", tmp_path / "again")
    draw, words = Random(0), (*DDP, "hydra.run.dir=killed")
    for _ in range(2):
        before = newest(tmp_path / "killed")
        process = started(tmp_path, *words)
        wait_for_a_save(tmp_path / "killed", process, before)
        sleep(draw.uniform(0, 0.2))
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        words = ("resume=killed",)
    finished(tmp_path, *words)
    assert "resumed after step" in (tmp_path / "log.txt").read_text()
    assert_same(tmp_path / "whole", tmp_path / "killed")


def test_a_step_of_two_processes_that_is_not_finite_is_written(tmp_path: Path):
    words = ("optimizer=sgd", "optimizer.lr=1e38", "trainer.log_every_n_steps=1", "hydra.run.dir=run")
    assert started(tmp_path, *DDP, *words).wait(100) == 1
    said = (tmp_path / "log.txt").read_text()
    assert re.search(
        r"error: .* became (nan|-?inf) in epoch 1, step \d .*diverged(-1)?\.pt has its batch .*process \d of 2", said
    )
    for path in (tmp_path / "run").glob("diverged*.pt"):
        step = torch.load(path, weights_only=True)
        assert all(value.isfinite().all() for value in step["net"].values())
        assert len(step["samples"]) == len(step["batch"][0])


def test_the_script_of_the_documentation_requeues_a_job_until_it_is_done(tmp_path: Path):
    """With stand-ins for srun and scontrol; the signal comes as from a queue before its time limit."""
    page = (ROOT / "docs" / "reliability.md").read_text()
    script = re.search(r"```sh\n(#!/bin/sh\n.*?)```", page, re.DOTALL)
    assert script is not None
    program = f"{sys.executable} -m regtorch"
    text = script[1].replace("regtorch train model=cnn reg=l2", f"{program} train {' '.join(LONG)}")
    assert program in text
    (tmp_path / "job.sh").write_text(text)
    for name, does in {"srun": 'echo $$ > pid\nexec "$@"', "scontrol": 'echo "$@" >> queue'}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    environment = {**ENVIRONMENT, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "17"}
    codes = []
    for _ in range(3):
        before = newest(tmp_path / "runs" / "mine")
        with (tmp_path / "log.txt").open("ab") as log:
            job = subprocess.Popen(["sh", "job.sh"], cwd=tmp_path, env=environment, stdout=log, stderr=log)
        if len(codes) < 2:
            wait_for_a_save(tmp_path / "runs" / "mine", job, before)
            os.kill(int((tmp_path / "pid").read_text()), signal.SIGUSR1)
        codes.append(job.wait(100))
    assert codes == [138, 138, 0], (tmp_path / "log.txt").read_text()[-3000:]
    assert (tmp_path / "queue").read_text() == "requeue 17\n" * 2
    finished(tmp_path, *LONG, "hydra.run.dir=whole")
    assert_same(tmp_path / "whole", tmp_path / "runs" / "mine")


def job_of(folder: Path) -> int:
    """The process that trains the first job of submitit."""
    for status in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = status.read_bytes().split(b"\0")
            if b"submitit.core._submit" in words and str(folder).encode() in b" ".join(words):
                return int(status.parent.name)
    return 0


@pytest.mark.skipif(not Path("/proc/self/cmdline").is_file(), reason="the job's process is looked up in /proc")
def test_a_job_of_submitit_that_is_preempted_is_requeued_and_goes_on(tmp_path: Path):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="hydra-submitit-launcher is not installed")
    words = ("-m", *(word for word in LONG if not word.startswith("reg=")), "reg=l1,dropout")
    finished(tmp_path, *words, "hydra.sweep.dir=whole")
    launcher = ("hydra/launcher=submitit_local", "hydra.launcher.timeout_min=5")
    process = started(tmp_path, *words, *launcher, "hydra.sweep.dir=mine")
    wait_for_a_save(tmp_path / "mine" / "0", process, 0)
    os.kill(job_of(tmp_path / "mine"), signal.SIGUSR2)
    assert process.wait(100) == 0, (tmp_path / "log.txt").read_text()[-3000:]
    assert "resumed after step" in (tmp_path / "mine" / "0" / "log.txt").read_text()
    launched = [path.read_text() for path in (tmp_path / "mine" / ".submitit").rglob("*.err")]
    assert any("ended by SIGUSR2: saving after the current step" in text for text in launched)
    for job in ("0", "1"):
        assert_same(tmp_path / "whole" / job, tmp_path / "mine" / job, "choices")  # of the launcher
