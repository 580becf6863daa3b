"""What finished runs left: read, compared with the setting that should have made it, and shown on the page."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from documents.claims import Claim, Document, Setting
from documents.page import page
from documents.runs import find, folder_of, missing
from regtorch.app.record.results import BrokenRun, curve, read_run

CLAIM = Claim(
    *("one", "Why?", "A net.", "It falls."),
    verdict="holds",
    why="Because.",
    settings=(Setting("a", "experiment=a", seeds=2), Setting("b b", "experiment=b", seeds=1)),
    show=("val/accuracy@1", "val/accuracy", "val/r2"),
    draw=("val/accuracy",),
)
DOCUMENT = Document("Title", "Author", (CLAIM,))


def a_run(folder: Path, accuracies: list[float], overrides: Sequence[str] = (), **summary: object) -> Path:
    for inside in ("csv", ".hydra"):
        (folder / inside).mkdir(parents=True)
    rows = [{"epoch": e, "train/loss_step": 9, "val/accuracy": a} for e, a in enumerate(accuracies)]
    with (folder / "csv" / "metrics.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["epoch", "train/loss_step", "val/accuracy"])
        writer.writeheader()
        writer.writerows(rows)
    last = accuracies[-1] if math.isfinite(accuracies[-1]) else None  # as write_summary does
    (folder / "summary.json").write_text(json.dumps({"final": {"val/accuracy": last}, **summary}))
    (folder / ".hydra" / "overrides.yaml").write_text(json.dumps(overrides))
    return folder


def of_seed(runs: Path, seed: int, accuracies: list[float], *extra: str, **summary: object) -> Path:
    folder = folder_of(runs, CLAIM, CLAIM.settings[0], seed)
    return a_run(folder, accuracies, ["experiment=a", f"seed={seed}", *extra], **summary)


def the_page(runs: Path) -> str:
    page([DOCUMENT], find([DOCUMENT], runs), runs / "documents.md")
    return (runs / "documents.md").read_text()


def test_the_page_shows_what_ran_and_names_what_did_not(tmp_path: Path):
    of_seed(tmp_path, 0, [0.2, 0.5], device="cpu", versions={"torch": "2.9"})
    assert missing(find([DOCUMENT], tmp_path)) == ["one (a: 1 of 2, b b: 0 of 1)"]
    assert "| a | 1 of 2 | 0.200 | 0.500 |  |" in the_page(tmp_path)
    of_seed(tmp_path, 1, [0.4, 0.7], device="cpu", versions={"torch": "2.9"})
    assert missing(find([DOCUMENT], tmp_path)) == ["one (b b: 0 of 1)"]
    text = the_page(tmp_path)
    assert "| a | 2 | 0.300 ± 0.141 | 0.600 ± 0.141 |  |" in text
    assert "| b b | not run |  |  |  |" in text
    assert "python scripts/train.py experiment=b\n" in text
    assert "\nRun on cpu with torch 2.9.\n" in text
    assert (tmp_path / "documents" / "one.png").stat().st_size > 1000


def test_runs_of_several_machines_and_what_they_ran_with(tmp_path: Path):
    of_seed(tmp_path, 0, [0.5], "trainer.precision=bf16-mixed", "channels_last=true", device="cuda:0")
    of_seed(tmp_path, 1, [0.5], "trainer=cpu", "logger=csv", "data.dir=/a b", device="cpu")
    text = the_page(tmp_path)
    assert "Run on cuda:0 (1 run), cpu (1 run)." in text
    assert "a (1 of 2 runs): run with `channels_last=true trainer.precision=bf16-mixed`." in text


def test_a_seed_that_is_not_finite_is_left_out_of_the_mean_and_said(tmp_path: Path):
    of_seed(tmp_path, 0, [math.inf, math.nan])
    assert "| a | 1 of 2 | (nan in 1 of 1) | (nan in 1 of 1) |  |" in the_page(tmp_path)
    of_seed(tmp_path, 1, [0.4, 0.7])
    assert "| a | 2 | 0.400 (nan in 1 of 2) | 0.700 (nan in 1 of 2) |  |" in the_page(tmp_path)


@pytest.mark.parametrize("extra", ["trainer.max_epochs=1", "seed=1"])
def test_a_run_made_by_other_overrides_is_left_out_and_said(tmp_path: Path, extra: str):
    folder = of_seed(tmp_path, 0, [0.5], extra)
    [a, _] = find([DOCUMENT], tmp_path)["one"]
    assert (a.runs, a.missing) == ([], [0, 1])
    assert len(a.left_out) == 1
    assert f"{folder} was made by other overrides" in a.left_out[0]
    assert extra in a.left_out[0]


@pytest.mark.parametrize("text", ["[]", "", "{}", '{"final": [', '{"final": {"val/loss": "x"}}', "\xff"])
def test_a_summary_that_is_none(tmp_path: Path, text: str):
    broken = of_seed(tmp_path, 0, [0.5]) / "summary.json"
    broken.write_bytes(text.encode("latin-1"))
    with pytest.raises(BrokenRun, match=f"^{broken}: expected"):
        read_run(broken.parent)
    of_seed(tmp_path, 1, [0.5])
    assert "| a | 1 of 2 | 0.500 | 0.500 |  |" in the_page(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: expected a column 'epoch'"),
        ("step,val/loss\n0,1\n", "line 1: expected a column 'epoch'"),
        ("epoch,val/loss\n0,1\n,2\n", "line 3: epoch: expected 0, 1, …, received ''"),
        ("epoch,val/loss\n0.5,1\n", "line 2: epoch: expected 0, 1, …, received '0.5'"),
        ("epoch,val/loss\n1e300,1\n", "line 2: epoch: expected 0, 1, …, received '1e300'"),
        ("epoch,val/loss\n0,1,2\n", "line 2: expected 2 columns, received 3"),
        ("epoch,val/loss\n0\n", "line 2: expected 2 columns, received 1"),
        ("epoch,val/loss\n0,x\n", "line 2: could not convert"),
    ],
)
def test_metrics_that_cannot_be_read(tmp_path: Path, text: str, message: str):
    broken = of_seed(tmp_path, 0, [0.5]) / "csv" / "metrics.csv"
    broken.write_text(text)
    with pytest.raises(BrokenRun, match=f"^{broken}: {message}"):
        read_run(broken.parents[1])
    assert find([DOCUMENT], tmp_path)["one"][0].left_out[0].startswith(str(broken))


@pytest.mark.parametrize("text", [None, "", "5", "a: 1", "- nothing", "{"])
def test_overrides_that_cannot_be_read(tmp_path: Path, text: str | None):
    broken = of_seed(tmp_path, 0, [0.5]) / ".hydra" / "overrides.yaml"
    broken.unlink() if text is None else broken.write_text(text)
    with pytest.raises(BrokenRun, match=f"^{broken}: "):
        read_run(broken.parents[1])


def test_a_number_that_may_have_been_cut_is_not_taken(tmp_path: Path):
    folder = of_seed(tmp_path, 0, [0.5])
    (folder / "csv" / "metrics.csv").write_text("epoch,val/loss\n0.0,2.5\n1,2.2")
    assert read_run(folder).epochs == {"val/loss": {1: 2.5}}


def test_rows_of_other_things_than_metrics_need_no_epoch(tmp_path: Path):
    folder = of_seed(tmp_path, 0, [0.5])
    (folder / "csv" / "metrics.csv").write_text("epoch,lr-Adam,val/loss\n,0.1,\n0,,2.5\n")
    assert read_run(folder).epochs == {"val/loss": {1: 2.5}}


def test_a_curve_is_over_seeds(tmp_path: Path):
    runs = [read_run(a_run(tmp_path / str(seed), values)) for seed, values in enumerate(([0.2, 0.5], [0.4]))]
    curves = curve([run for run in runs if run is not None], "val/accuracy")
    assert [(e, s.mean, s.count) for e, s in curves.items()] == [(1, pytest.approx(0.3), 2), (2, 0.5, 1)]
