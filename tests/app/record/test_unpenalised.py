"""Which run is another one without its penalty, and what is said of both."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from regtorch.app.ground.folders import ASIDE
from regtorch.app.record import near
from regtorch.app.record.near import runs_near
from regtorch.app.record.run_record import RunRecord
from regtorch.app.record.unpenalised import Finished, against, command_without, partners

L2 = {"lam": 0.01, "rate": None, "label_smoothing": 0.0, "penalty": {"_target_": "regtorch.L2", "lam": 0.01}}
NONE = {"lam": 0.5, "rate": None, "label_smoothing": 0.0, "penalty": None}


def record(
    reg: Mapping[str, Any],
    score: float = 0.9,
    seed: int | None = 0,
    *,
    folder: str = "/a",
    provenance: Mapping[str, Any] | None = None,
    versions: Mapping[str, Any] | None = None,
    total: int = 10,
    **settings: Any,
) -> RunRecord:
    config = {
        "seed": seed,
        "out_dir": folder,
        "model": {"net": {"_target_": "regtorch.models.MLP"}},
        "data": {"dir": "data", "seed": seed, "batch_size": 32},
        "callbacks": {"last": {"dirpath": f"{folder}/checkpoints"}, "progress": {"path": "a terminal"}},
        "logger": {"csv": {"save_dir": folder}},
        "trainer": {"max_epochs": 2, "default_root_dir": folder},
        **settings,
        "reg": reg,
    }
    best = {"epoch": 2, "val/accuracy": score, "train/accuracy": score + 0.05, "checkpoint": None}
    return RunRecord(
        config=config,
        final={"val/accuracy": score - 0.1},
        best=best,
        parameters={"total": total},
        provenance=provenance or {"data": {"train": "abc"}, "git": {}},
        versions=versions or {"torch": "2.9"},
    )


def finished(*args: Any, folder: str = "/a", **more: Any) -> Finished:
    return Finished(Path(folder), record(*args, folder=folder, **more))


def test_both_scores_their_epochs_and_gaps_are_said():
    own, other = finished(L2, 0.9), finished(NONE, 0.8, folder="/b")
    assert str(against(own, [other])) == (
        "against reg=none (/b): val/accuracy 0.9000 (epoch 2) instead of 0.8000 (epoch 2), "
        "train − val 0.0500 instead of 0.0500 (above 0 where it overfits); one seed, which may be chance"
    )


def test_a_loss_overfits_below_0():
    monitored = {"_target_": "lightning.pytorch.callbacks.ModelCheckpoint", "monitor": "val/task_loss", "mode": "min"}
    values = {"epoch": 2, "val/task_loss": 0.5, "train/task_loss": 0.2, "checkpoint": None}
    own, other = (
        Finished(run.folder, replace(run.record, best=values, final={"val/task_loss": 0.5}))
        for run in (
            finished(reg, folder=folder, callbacks={"best": monitored}) for reg, folder in ((L2, "/a"), (NONE, "/b"))
        )
    )
    assert "train − val -0.3000 instead of -0.3000 (below 0 where it overfits)" in str(against(own, [other]))


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 1},
        {"trainer": {"max_epochs": 3}},
        {"model": {"net": {"_target_": "regtorch.models.CNN"}}},
        {"data": {"dir": "data", "seed": 0, "batch_size": 64}},
        {"provenance": {"data": {"train": "other"}}},
        {"total": 11},
        {"reg": {**NONE, "rate": 0.5}},
        {"reg": {**NONE, "label_smoothing": 0.1}},
        {"reg": {**L2, "lam": 0.0}},
    ],
    ids=str,
)
def test_other_seeds_data_nets_and_settings_are_not_compared(other: dict[str, Any]):
    reg = other.pop("reg", NONE)
    assert against(finished(L2), [finished(reg, folder="/b", **other)]) is None


@pytest.mark.parametrize(
    "other",
    [
        {"logger": {}},
        {"debug": True, "save_every": None},
        {"callbacks": {"last": {"dirpath": "/b/checkpoints"}}},
        {"trainer": {"max_epochs": 2, "default_root_dir": "/b", "log_every_n_steps": 1, "accelerator": "cpu"}},
        {"data": {"dir": "moved", "seed": 0, "batch_size": 32}},
        {"settle_batch_norm": False},  # what runs of versions without the setting did
    ],
    ids=str,
)
def test_what_changes_no_result_does_not_matter(other: dict[str, Any]):
    assert against(finished(L2), [finished(NONE, folder="/b", **other)]) is not None


def test_data_on_disk_are_known_by_their_folder():
    own, here, moved = (
        finished(reg, folder=folder, provenance={"data": None}, data={"dir": place})
        for reg, folder, place in ((L2, "/a", "x"), (NONE, "/b", "x"), (NONE, "/c", "y"))
    )
    assert against(own, [here]) is not None
    assert against(own, [moved]) is None


def test_dropout_is_compared_with_none_and_a_penalty_beside_it_with_dropout():
    plain, dropout = finished(NONE, folder="/b"), finished({**NONE, "rate": 0.5}, folder="/c")
    found = against(dropout, [plain])
    assert found is not None
    assert found.runs[0][1] is plain
    found = against(finished({**L2, "rate": 0.5}), [plain, dropout])
    assert found is not None
    assert found.runs[0][1] is dropout
    assert against(plain, [finished(NONE, folder="/d")]) is None


def test_the_first_of_equal_runs_counts_and_seeds_are_paired():
    own = finished(L2, 0.9)
    others = [
        *(finished(NONE, 0.8 + seed / 100, seed, folder=f"/none{seed}") for seed in (0, 1, 7)),
        finished(NONE, 0.1, 0, folder="/older"),
        *(finished(L2, 0.9 + seed / 100, seed, folder=f"/l2{seed}") for seed in (1, 2)),
        finished({**L2, "lam": 1.0}, 0.3, 1, folder="/other"),
    ]
    found = against(own, others)
    assert found is not None
    assert [(str(a.folder), str(b.folder)) for a, b in found.runs] == [("/a", "/none0"), ("/l21", "/none1")]
    told = str(found)
    assert "val/accuracy 0.9050 ± 0.0071 instead of 0.8050 ± 0.0071" in told
    assert told.endswith("; means of best epochs over 2 seeds ± standard deviation")


def test_other_versions_and_other_code_are_said():
    other = finished(
        NONE, folder="/b", versions={"torch": "2.8"}, provenance={"data": {"train": "abc"}, "git": {"a": 1}}
    )
    assert "not the same version of torch and code (git)" in str(against(finished(L2), [other]))


def test_runs_without_a_seed_or_a_score_are_not_compared():
    assert against(finished(L2, seed=None), [finished(NONE, seed=None, folder="/b")]) is None
    assert against(finished(L2, float("nan")), [finished(NONE, folder="/b")]) is None
    assert against(finished(L2), [finished(NONE, float("nan"), folder="/b")]) is None


def test_partners_in_a_sweep():
    records = [record(NONE), record(L2), record(L2, seed=1), None, record(NONE, seed=1), record({**NONE, "rate": 0.3})]
    assert partners(records) == [None, 0, 4, None, None, 0]


@pytest.mark.parametrize(
    ("overrides", "command"),
    [
        ("model=cnn reg=l2 reg.lam=0.01", "model=cnn reg=none"),
        ("reg=l1 reg.proximal=true reg.rate=0.3 seed=3", "reg=none reg.rate=0.3 seed=3"),
        ("experiment=rps_l1 hydra.run.dir=x resume=true doctor=true", "experiment=rps_l1 reg=none"),
    ],
)
def test_the_command_of_the_same_run_without_a_penalty(overrides: str, command: str):
    assert command_without(record(L2), overrides.split()).endswith(f"train.py {command}")


def test_the_command_of_several_seeds_is_a_sweep_and_dropout_loses_its_rate():
    told = command_without(record({**NONE, "rate": 0.5}), ["reg=dropout", "reg.rate=0.5", "seed=1"], [0, 1])
    assert told.endswith("train.py -m reg=none seed=0,1")
    told = command_without(record({**NONE, "rate": 0.2}), ["experiment=rps_dropout"])  # which sets the rate
    assert told.endswith("train.py experiment=rps_dropout reg=none reg.rate=null")


def test_runs_near_are_found_newest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    places = ["runs/cnn-l2/b", "runs/cnn-none/c", "sweeps/s/0", "runs/cnn-l2/a", f"runs/cnn-l2/x{ASIDE}1", "far/off/d"]
    for age, place in enumerate(places):
        (tmp_path / place).mkdir(parents=True)
        record(NONE).write(tmp_path / place)
        os.utime(tmp_path / place / "summary.json", (1000 - age, 1000 - age))
    (tmp_path / "runs/cnn-l2/broken").mkdir()
    (tmp_path / "runs/cnn-l2/broken/summary.json").write_text("{")
    (tmp_path / "runs/cnn-l2/unfinished").mkdir()
    (tmp_path / "runs/a-file").write_text("")
    found = [run.folder.relative_to(tmp_path).as_posix() for run in runs_near(tmp_path / "runs/cnn-l2/b")]
    assert found == ["runs/cnn-none/c", "sweeps/s/0", "runs/cnn-l2/a"]
    assert [run.folder.name for run in runs_near(Path("far/off/new"))][-1] == "d"
    monkeypatch.setattr(near, "MOST", 2)  # with the broken one, which is the newest
    assert len(list(runs_near(tmp_path / "runs/cnn-l2/b"))) == 1
