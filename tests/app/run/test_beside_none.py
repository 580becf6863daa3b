"""A run ends with a line on what its penalty did against reg=none, or on how to see it; a sweep with a column."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from command_line import CommandLine
from regtorch.app.record.run_record import RunRecord

pytestmark = pytest.mark.script

ONE = ("trainer.max_epochs=1", "callbacks=none", "logger=none")
NO_RUN = "no run with reg=none to compare with; this makes it: python scripts/train.py "


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capfd)


def command_in(out: str) -> list[str]:
    [line] = [line for line in out.splitlines() if line.startswith(NO_RUN)]
    return shlex.split(line.removeprefix(NO_RUN))


def test_the_command_that_is_named_makes_the_run_that_the_next_is_compared_with(train: CommandLine):
    first = train("reg=l1", "reg.lam=1e-3", "reg.proximal=true", *ONE)
    none = train(*command_in(first.out), fast=False)
    assert (none.code, none.err) == (0, "")
    assert "against reg=none" not in none.out
    assert NO_RUN not in none.out
    own = train("reg=l2", "reg.lam=1", *ONE, "save_every=null", "data.dir=elsewhere")
    assert NO_RUN not in own.out
    records = [RunRecord.read(folder) for folder in (own.folder, none.folder)]
    scores = [record.best["val/accuracy"] for record in records if record is not None and record.best is not None]
    where = none.folder.relative_to(train.folder)
    assert (
        f"against reg=none ({where}): val/accuracy {scores[0]:.4f} (epoch 1) instead of {scores[1]:.4f} (epoch 1)"
        in own.out
    )
    assert "one seed, which may be chance" in own.out
    other = train("reg=l2", "seed=1", *ONE)
    assert {"reg=none", "seed=1"} <= {*command_in(other.out)}
    assert "against reg=none" not in other.out


def test_a_sweep_with_none_has_a_column_and_no_line(train: CommandLine):
    done = train("-m", "reg=none,l2", "reg.lam=1", "seed=0,1", *ONE, "hydra.sweep.dir=sweeps/mine")
    assert done.code == 0
    records = [RunRecord.read(train.folder / "sweeps" / "mine" / str(number)) for number in range(4)]
    best = [record.best["val/accuracy"] for record in records if record is not None and record.best is not None]
    rows = [line for line in done.out.splitlines() if re.match(r" *(→ +)?\d  ", line)]
    assert [row.split()[-1] for row in rows[2:]] == [f"{best[i + 2] - best[i]:+z.4f}" for i in (0, 1)]
    assert rows[0].split()[-1] == "1"  # the epoch
    assert "against reg=none" not in done.out
    assert NO_RUN not in done.out
    alone = train("-m", "reg=l2", "reg.lam=1,2", "seed=0,1", *ONE)
    assert "the best setting against reg=none: val/accuracy" in alone.out
    assert "means of best epochs over 2 seeds" in alone.out
    assert alone.out.count("against reg=none") == 1


def test_a_sweep_without_none_says_how_to_make_it_for_all_seeds(train: CommandLine):
    done = train("-m", "reg=l2", "reg.lam=1,2", "seed=0,1", *ONE)
    assert command_in(done.out)[:1] == ["-m"]
    assert {"reg=none", "seed=0,1"} <= {*command_in(done.out)}
