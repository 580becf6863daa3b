"""What a run writes is there whole, or as it was before: beside other file systems, after errors, and after a kill."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.plugins import CheckpointIO, TorchCheckpointIO
from matplotlib.figure import Figure

from command_line import CommandLine
from data_files import write_mnist
from devices import another_file_system
from regtorch.app.data import MNIST
from regtorch.app.ground.atomic import atomic, write_png, write_text
from regtorch.app.run.checkpoints import AtomicCheckpoints, use_atomic_checkpoints
from regtorch.app.run.csv_logger import CSVLogger


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


# Where temporary files are


def test_a_run_on_another_file_system_than_the_temporary_folder_copies_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    (tmp_path / "runs").mkdir()
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    copied = another_file_system(tmp_path / "runs", monkeypatch)
    result = CommandLine(tmp_path, monkeypatch, capfd)("reg=l2")
    assert (result.code, result.err) == (0, "")
    assert copied == []
    assert {"checkpoints/last.ckpt", "checkpoints/best.ckpt", "history.png"} <= {*names(result.folder)}
    assert names(tmp_path / "scratch") == []
    assert not list(tmp_path.rglob("*.part"))


def test_a_download_to_a_link_to_another_file_system_copies_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    disk, data = tmp_path / "disk", tmp_path / "data"
    (disk / "MNIST").mkdir(parents=True)
    data.mkdir()
    (data / "MNIST").symlink_to(disk / "MNIST")
    monkeypatch.setattr(MNIST, "fetch", lambda self, root: write_mnist(Path(root), packed=False))
    copied = another_file_system(disk, monkeypatch)
    module = MNIST(str(data), val_size=10)
    module.prepare_data()
    module.setup()
    assert copied == []
    assert names(data) == ["MNIST"]
    assert len(names(disk / "MNIST" / "raw")) == 4
    assert names(disk / "MNIST") == ["raw", *(f"raw/{name}" for name in names(disk / "MNIST" / "raw"))]


@pytest.mark.parametrize("folder", [False, True])
def test_temporary_files_are_hidden_beside_their_target(tmp_path: Path, folder: bool):
    with atomic(tmp_path / "new" / "it", folder=folder) as temporary:
        assert temporary.parent == tmp_path / "new"
        assert temporary.name.startswith(".it.")
        assert temporary.name.endswith(".part")
        assert not (tmp_path / "new" / "it").exists()
    assert names(tmp_path / "new") == ["it"]
    assert (tmp_path / "new" / "it").is_dir() == folder


def test_a_file_is_on_the_disk_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    told: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda d: (told.append(os.readlink(f"/proc/self/fd/{d}")), fsync(d))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (told.append("renamed"), replace(a, b))[1])
    with atomic(tmp_path / "it") as temporary:
        temporary.write_text("text")
    assert told == [str(temporary), "renamed", str(tmp_path)]


def test_file_modes_are_those_of_any_new_file(tmp_path: Path):
    (tmp_path / "plain").write_text("text")
    write_text(tmp_path / "whole", "text")
    assert (tmp_path / "whole").stat().st_mode == (tmp_path / "plain").stat().st_mode


# Errors


class Full:
    """Cannot be saved."""

    def __reduce__(self) -> Any:
        raise OSError(28, "No space left on device")


def broken_figure() -> Figure:
    figure = Figure()
    figure.draw = lambda renderer: 1 / 0
    return figure


FAILING: dict[str, tuple[type[Exception], Callable[[Path], object]]] = {
    "text": (UnicodeEncodeError, lambda path: write_text(path, "\ud800")),
    "picture": (ZeroDivisionError, lambda path: write_png(broken_figure(), path)),
    "checkpoint": (OSError, lambda path: AtomicCheckpoints().save_checkpoint({"a": torch.ones(9), "b": Full()}, path)),
}


@pytest.mark.parametrize("what", FAILING)
def test_an_error_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path, what: str):
    path = tmp_path / "file"
    path.write_text("old")
    error, write = FAILING[what]
    with pytest.raises(error):
        write(path)
    assert names(tmp_path) == ["file"]
    assert path.read_text() == "old"


def test_a_full_disk_in_the_middle_of_a_checkpoint_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, default_root_dir=tmp_path)
    use_atomic_checkpoints(trainer)
    save, path = trainer.strategy.checkpoint_io.save_checkpoint, tmp_path / "last.ckpt"
    save({"state": torch.zeros(1000)}, path)
    write = torch.save

    def half(value: Any, file: Any) -> None:
        written = io.BytesIO()
        write(value, written)
        file.write(written.getvalue()[:2000])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="No space left"):
        save({"state": torch.ones(1000)}, path)
    assert names(tmp_path) == ["last.ckpt"]
    assert not torch.load(path, weights_only=True)["state"].any()


def test_a_custom_checkpoint_writer_is_kept(tmp_path: Path):
    class Own(TorchCheckpointIO):
        pass

    def used(plugins: list[Any]) -> CheckpointIO:
        trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, plugins=plugins)
        use_atomic_checkpoints(trainer)
        return trainer.strategy.checkpoint_io

    assert type(used([])) is AtomicCheckpoints
    assert type(used([Own()])) is Own


def test_a_checkpoint_does_not_contain_its_temporary_name(tmp_path: Path):
    for name in ("one", "other"):
        AtomicCheckpoints().save_checkpoint({"state": torch.ones(5)}, f"file://{tmp_path / name}")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


# Journals and tables


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_new_columns_replace_a_table_atomically(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    logger = CSVLogger(tmp_path, name="", version="csv")
    path = tmp_path / "csv" / "metrics.csv"
    for step, metrics in enumerate([{"a": 1.0}, {"a": 2.0}, {"b": 3.0, "a": 2.5}, {"b": 4.0}]):
        logger.log_metrics(metrics, step)
        logger.save()
    rows = [("1.0", "", "0"), ("2.0", "", "1"), ("2.5", "3.0", "2"), ("", "4.0", "3")]
    assert [tuple(row.values()) for row in rows_of(path)] == rows

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    logger.log_metrics({"c": 5.0}, 4)
    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        logger.save()
    assert [tuple(row.values()) for row in rows_of(path)] == rows


def test_the_table_equals_lightnings(tmp_path: Path):
    from lightning.pytorch.loggers import CSVLogger as Lightnings

    for kind, name in ((CSVLogger, "ours"), (Lightnings, "theirs")):
        logger = kind(tmp_path, name="", version=name)
        for step in range(6):
            logger.log_metrics(
                {"a" if step % 2 else "b": float(step), **({"c": torch.ones(())} if step > 3 else {})}, step
            )
            if step != 1:
                logger.save()
        logger.finalize("success")
    assert (tmp_path / "ours" / "metrics.csv").read_bytes() == (tmp_path / "theirs" / "metrics.csv").read_bytes()
