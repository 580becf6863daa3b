"""The price of saves: seconds a save takes, and what the callback costs at the steps between two."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any
from warnings import catch_warnings, simplefilter

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, Checkpoint, ModelCheckpoint
from omegaconf import OmegaConf
from torch.utils.data import DataLoader, TensorDataset

import regtorch as rt
from benchmark.nets import NetCase
from benchmark.settings import Settings
from benchmark.tables import table
from benchmark.timing import Spread, spread
from regtorch.app.ground.silence import quiet
from regtorch.app.nets import count
from regtorch.app.run.checkpoints import use_atomic_checkpoints
from regtorch.app.run.saves.saver import Saver
from regtorch.app.run.saves.saves import Saves
from regtorch.lightning.module import RegularizedModule

__all__ = ["SavePrice", "save_price", "saves_table"]

_STEPS = 16  # an epoch


@dataclass(frozen=True)
class SavePrice:
    """What saves cost in a run of a net.

    Attributes:
        seconds: of a save, with the best and the last checkpoint beside it.
        mebibytes: that it takes.
        step: a step at which no save is due ÷ the same without the callback.
    """

    net: str
    parameters: int
    seconds: Spread
    mebibytes: float
    step: float

    @property
    def share(self) -> float:
        """Of a run that is saved once a minute."""
        return self.seconds.median / 60


class _Timed(Saver):
    """Counts the seconds of its saves."""

    def __init__(self, saves: Saves) -> None:
        super().__init__(saves)
        self.seconds: list[float] = []
        self.looks: list[float] = []  # seconds that it takes to see that no save is due
        self.size = 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        saved, start = len(self.seconds), perf_counter()
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        if len(self.seconds) == saved:
            self.looks.append(perf_counter() - start)

    def save(self, trainer: Trainer, *, within: bool = False) -> None:
        start = perf_counter()
        super().save(trainer, within=within)
        self.seconds.append(perf_counter() - start)
        if self.saves.written is not None:
            self.size = sum(path.stat().st_size for path in self.saves.written.folder.iterdir())


class _Clock(Callback):
    """The times at which steps begin."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.times.append(perf_counter())


def _fit(case: NetCase, folder: Path, callbacks: list[Callback], epochs: int) -> float:
    """Seconds of a training step, the median."""
    clock = _Clock()
    torch.manual_seed(0)
    x, y = case.data()
    data = DataLoader(TensorDataset(x.repeat(_STEPS, *[1] * (x.ndim - 1)), y.repeat(_STEPS)), batch_size=case.batch)
    module = RegularizedModule(
        case.make(), optimizer=partial(torch.optim.Adam, lr=1e-4), num_classes=case.classes, penalties=[rt.L2(1e-4)]
    )
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        callbacks=[*callbacks, clock],
        enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    use_atomic_checkpoints(trainer)
    trainer.fit(module, data)
    return median(after - before for before, after in pairwise(clock.times))


def _saver(folder: Path, save_every: int | str) -> _Timed:
    return _Timed(Saves(OmegaConf.create({"save_every": save_every}), folder))


def save_price(case: NetCase, settings: Settings) -> SavePrice:
    """Measure a net's saves, on the CPU."""
    with TemporaryDirectory(dir=Path.cwd()) as place, quiet(), catch_warnings():  # on the disk of the runs
        simplefilter("ignore")  # Lightning misses validation and workers
        folder = Path(place)
        monitored = {"best": "train/task_loss", "last": None}
        kept = [
            ModelCheckpoint(folder, filename=name, monitor=monitor, save_on_train_epoch_end=True)
            for name, monitor in monitored.items()
        ]
        timed = _saver(folder, 2)
        for _ in range(max(2, settings.rounds // 3)):
            _fit(case, folder, [*kept, timed], epochs=2)
        (folder / "bare").mkdir()
        looking = _saver(folder / "bare", "10min")
        step = median(_fit(case, folder, [looking], epochs=1) for _ in range(max(2, settings.rounds // 3)))
    return SavePrice(
        net=case.name,
        parameters=count(case.make())[0],
        seconds=spread(timed.seconds[len(timed.seconds) // 2 :] or [median(timed.seconds)]),
        mebibytes=timed.size / 2**20,
        step=step / (step - median(looking.looks)),
    )


def saves_table(results: list[SavePrice]) -> str:
    """The price of saves for each net."""
    rows = [
        [
            f"{result.net}, {result.parameters:,} parameters, Adam",
            f"{result.mebibytes:.1f}",
            f"{result.seconds.median:.3f} ({result.seconds.low:.3f}–{result.seconds.high:.3f})",
            f"{result.share:.2%}",
            f"{result.step:.4f}",
        ]
        for result in results
    ]
    header = [
        "net",
        "MiB",
        "seconds a save",
        "of a run saved once a minute",
        "step between saves ÷ step without",
    ]
    return f"Saves with the best and the last checkpoint beside them\n\n{table(header, rows)}"
