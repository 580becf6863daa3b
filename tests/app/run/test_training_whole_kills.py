"""What a killed process leaves behind, and who removes it."""

from __future__ import annotations

import io
import multiprocessing
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from test_training_whole import names

from regtorch.app.ground.atomic import atomic, remove_leftovers
from regtorch.app.ground.errors import RunError
from regtorch.app.ground.folders import move_aside
from regtorch.app.run.checkpoints import AtomicCheckpoints
from regtorch.app.search.storage import open_store


def killed_while_it_writes(folder: Path) -> None:
    """A new checkpoint and a folder, in a process of its own."""
    save = torch.save

    def half(value: object, file: Any) -> None:
        written = io.BytesIO()
        save(value, written)
        file.write(written.getvalue()[:2000])
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    torch.save = half
    (folder / "deep").mkdir(exist_ok=True)
    with atomic(folder / "deep" / "data", folder=True) as data:
        (data / "file").write_text("half")
        AtomicCheckpoints().save_checkpoint({"state": torch.ones(1000)}, folder / "last.ckpt")


@pytest.fixture(scope="module")
def left_behind(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a process was killed while it wrote a new checkpoint and a folder."""
    folder = tmp_path_factory.mktemp("killed")
    AtomicCheckpoints().save_checkpoint({"state": torch.zeros(1000)}, folder / "last.ckpt")
    process = multiprocessing.get_context("fork").Process(target=killed_while_it_writes, args=(folder,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    left = [name.split("/")[-1] for name in names(folder) if name.endswith(".part")]
    assert [name[:6] for name in left] == [".last.", ".data."]
    return folder


@pytest.fixture
def killed(left_behind: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(left_behind, tmp_path / "run")


def test_a_kill_in_the_middle_leaves_the_old_file(killed: Path):
    assert not torch.load(killed / "last.ckpt", weights_only=True)["state"].any()


def test_the_next_writer_removes_leftovers_of_the_same_file(killed: Path):
    AtomicCheckpoints().save_checkpoint({"state": torch.ones(1000)}, killed / "last.ckpt")
    assert [name for name in names(killed) if name.endswith(".part") and "last" in name] == []
    assert torch.load(killed / "last.ckpt", weights_only=True)["state"].all()
    with atomic(killed / "deep" / "data", folder=True) as data:
        (data / "file").write_text("whole")
    assert names(killed) == ["deep", "deep/data", "deep/data/file", "last.ckpt"]


def test_a_restarted_run_removes_all_leftovers(killed: Path):
    move_aside(killed)
    assert names(killed.with_name(f"{killed.name}.failed-1")) == ["deep", "last.ckpt"]


def test_files_in_use_and_files_of_others_stay(tmp_path: Path):
    for name in (".mine.part", ".notes.12345678.part.txt", "x.12345678.part", ".x.1234567g.part"):
        (tmp_path / name).touch()
    (tmp_path / ".link.12345678.part").symlink_to(tmp_path / ".mine.part")
    kept = names(tmp_path)
    with atomic(tmp_path / "it") as one, atomic(tmp_path / "it", folder=True) as other:
        remove_leftovers(tmp_path)
        assert names(tmp_path) == sorted([*kept, one.name, other.name])
        other.rmdir()
        other.touch()  # so that both can take the name
    assert names(tmp_path) == sorted([*kept, "it"])


@pytest.mark.parametrize("name", ["[a]*", "a?b", "a b", "ü", "a.b.c"])
def test_only_leftovers_of_the_same_name_are_removed(tmp_path: Path, name: str):
    for of in (name, "a", "axb", "other"):
        (tmp_path / f".{of}.00c0ffee.part").touch()
    remove_leftovers(tmp_path, name)
    assert names(tmp_path) == sorted(f".{of}.00c0ffee.part" for of in ("a", "axb", "other"))


def test_an_incomplete_record_does_not_break_a_journal(tmp_path: Path):
    from optuna import create_study, load_study

    store = open_store(None, tmp_path)
    study = create_study(storage=store.storage, study_name="it")
    study.enqueue_trial({"x": 1})
    journal = tmp_path / "journal.log"
    before = journal.read_bytes()
    journal.write_bytes(before + before.splitlines(keepends=True)[-1][:20])
    study = load_study(storage=open_store(None, tmp_path).storage, study_name="it")
    study.enqueue_trial({"x": 2})
    found = load_study(storage=open_store(None, tmp_path).storage, study_name="it").get_trials()
    assert [trial.system_attrs["fixed_params"] for trial in found] == [{"x": 1}, {"x": 2}]
    assert journal.read_bytes().startswith(before)


@pytest.mark.parametrize("text", ['{"a": 1}', "[1, 2]", "17", '{"a": 1}\n{"b"'])
def test_a_file_that_is_not_a_journal_is_unchanged(tmp_path: Path, text: str):
    (tmp_path / "notes").write_text(text)
    with pytest.raises(RunError, match=r"notes cannot be opened; expected a journal's path"):
        open_store(str(tmp_path / "notes"), tmp_path)
    assert (tmp_path / "notes").read_text() == text
