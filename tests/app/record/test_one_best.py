"""A grid's table, its progress, a path and the report name the same best setting."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from regtorch.app.path.members import Member
from regtorch.app.path.outcome import Divergence, Outcome
from regtorch.app.path.path_files import record_of
from regtorch.app.path.printed import print_members
from regtorch.app.report.collect import collect
from regtorch.app.report.experiments import experiments_of
from regtorch.app.report.page import report
from regtorch.app.terminal.table import jobs_of, print_jobs
from regtorch.app.terminal.watch import Watch
from report_runs import a_failed_run, a_run

Scores = Mapping[float, Sequence[tuple[float, float] | None]]
"""By strength: score and task loss of each seed; None where it diverged."""

LUCKY: Scores = {0.1: [(0.99, 0.5), (0.5, 0.5), (0.5, 0.5)], 0.01: [(0.8, 0.5), (0.82, 0.5), (0.81, 0.5)]}
DIVERGED: Scores = {0.1: [(0.9, 0.5), None, (0.9, 0.5)], 0.01: [(0.8, 0.5), (0.82, 0.5), (0.81, 0.5)]}
BY_LOSS: Scores = {0.1: [(0.875, 0.5), (0.75, 0.5), (0.8125, 0.5)], 0.01: [(0.8125, 0.1), (0.8125, 0.2), (0.8125, 0.9)]}
SIMPLER: Scores = {0.1: [(0.8, 0.5), (0.8, 0.5), (0.8, 0.5)], 0.01: [(0.8, 0.5), (0.8, 0.5), (0.8, 0.5)]}


def grid(folder: Path, scores: Scores) -> list[Path]:
    folders = []
    for lam, seeds in scores.items():
        for seed, found in enumerate(seeds):
            own = folder / str(len(folders))
            overrides = ["model=mnist_mlp", "reg=l2", f"reg.lam={lam}", f"seed={seed}"]
            folders.append(own)
            if found is None:
                reason = "train/loss became nan in epoch 1: training diverged; lower optimizer.lr or reg.lam"
                a_failed_run(own, reason, *overrides)
                continue
            best = {"epoch": 3, "val/accuracy": found[0], "val/task_loss": found[1]}
            a_run(own, *overrides, lam=lam, seed=seed, best=best)
    return folders


def outcomes_of(scores: Scores) -> list[Outcome]:
    found = []
    for lam, seeds in scores.items():
        for seed, result in enumerate(seeds):
            member = Member(len(found), {"lam": lam, "seed": seed})
            score, loss = result or (0.0, 1.0)
            epochs = [{"epoch": 3, "val/accuracy": score, "val/task_loss": loss}]
            diverged = Divergence(1, 1, "train/loss became nan") if result is None else None
            found.append(Outcome(member, [] if diverged else epochs, diverged=diverged))
    return found


@pytest.mark.parametrize("scores", [LUCKY, DIVERGED, BY_LOSS, SIMPLER], ids=["lucky", "diverged", "by loss", "simpler"])
def test_all_name_the_same_best(
    scores: Scores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("COLUMNS", "250")
    folders = grid(tmp_path, scores)
    print_jobs(jobs_of(tmp_path, folders))
    table = capsys.readouterr().out
    marked = re.findall(r"^ *→ +\d+ +(reg\.lam=\S+) (seed=\d)", table, re.MULTILINE)
    assert marked == [("reg.lam=0.01", f"seed={seed}") for seed in range(3)]
    assert re.search(r"→\s+best\s+val/accuracy\s+0\.8\d+\s+±\s+0\.0[01]00,\s+3\s+seeds", table)

    own = {
        folder: [f"reg.lam={lam}", f"seed={seed}"] for folder, (lam, seed) in zip(folders, _pairs(scores), strict=True)
    }
    with Watch(own, {}):
        pass
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.endswith("3 seeds: reg.lam=0.01")

    record = record_of(outcomes := outcomes_of(scores), "accuracy", [])
    assert record.path is not None
    assert record.path.best is not None
    assert record.path.best["lam"] == 0.01
    print_members(outcomes, "accuracy", record.path.best)
    shown = capsys.readouterr().out
    assert re.search(r"^ *→ +0\.01 ", shown, re.MULTILINE)

    (experiment,) = experiments_of((found := collect(tmp_path)).entries, found.lost)
    assert experiment.settings[0].label == "reg.lam=0.01"
    page, _ = report(tmp_path)
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", page.read_text(encoding="utf-8")))
    assert "reg.lam=0.01" in text.partition("Best settings")[2].partition("val accuracy 0.8")[0]

    rule = "of equal scores, the lower task loss leads, then the simpler rule"
    assert [rule in said for said in (table, shown, text)] == [scores in (BY_LOSS, SIMPLER)] * 3
    assert ("Settings of which a seed diverged come last." in text) == (scores is DIVERGED)


def _pairs(scores: Scores) -> list[tuple[float, int]]:
    return [(lam, seed) for lam, seeds in scores.items() for seed in range(len(seeds))]


def test_a_seed_that_was_trained_again_has_not_diverged(tmp_path: Path):
    grid(tmp_path / "first", DIVERGED)
    overrides = ["model=mnist_mlp", "reg=l2", "reg.lam=0.1", "seed=1"]
    again = {"epoch": 3, "val/accuracy": 0.9, "val/task_loss": 0.5}
    a_run(tmp_path / "again", *overrides, lam=0.1, seed=1, best=again)
    (experiment,) = experiments_of((found := collect(tmp_path)).entries, found.lost)
    assert (experiment.settings[0].label, experiment.settings[0].diverged) == ("reg.lam=0.1", False)


def test_if_only_seeds_differ_each_is_a_setting(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    print_jobs(jobs_of(tmp_path, grid(tmp_path, {0.1: LUCKY[0.1]})))
    out = capsys.readouterr().out
    assert re.findall(r"^ *→ +\d+ +(\S+)", out, re.MULTILINE) == ["seed=0"]
    assert "seeds" not in out
