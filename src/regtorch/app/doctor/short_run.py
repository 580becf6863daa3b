"""A short training of a set-up, and how well it does on held-out samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from pathlib import Path
from statistics import fmean, median
from time import perf_counter
from typing import Any

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.utilities.seed import isolate_rng
from omegaconf import DictConfig
from torch import nn
from torch.optim.swa_utils import update_bn

from regtorch.app.config.compose import composed
from regtorch.app.config.instantiate import instantiate
from regtorch.app.data.datamodule import ArraysDataModule, training_batches
from regtorch.app.doctor.held_out import Held, HeldOut, best_constant, evaluate, held_out, outputs_of
from regtorch.app.ground.denormals import flushed_denormals
from regtorch.app.ground.signals import interruptible
from regtorch.app.ground.silence import quiet
from regtorch.app.run.setup import SetUp, set_up
from regtorch.lightning.module import RegularizedModule

__all__ = ["Outcome", "Prepare", "ShortRun", "Trainings"]

_LAST = 0.1  # share of the steps over which the training loss is averaged
_SETTLING = 4, 16  # batches
_BETTER, _BETTER_SCORE = 0.03, 0.05  # than a constant
_UNTIMED = 2  # the first steps are slower

Prepare = Callable[[SetUp], None]
"""Changes a set-up before it is trained."""


@dataclass(frozen=True)
class Outcome:
    """What a short training gave.

    Attributes:
        label: what was trained.
        overrides: of train.py, that describe it.
        train_loss: the task's loss over the last tenth of the steps.
        val_loss: the task's loss on held-out samples after the last step; infinite where it diverged.
        score: on the same samples.
        score_name: such as accuracy.
        curve: the task's loss of each step.
        seconds: what it took.
    """

    label: str
    overrides: Sequence[str]
    train_loss: float
    val_loss: float
    score: float
    score_name: str
    curve: Sequence[float]
    seconds: float


@dataclass(frozen=True)
class ShortRun:
    """An outcome and what its noise is judged by.

    Attributes:
        outcome: of the training.
        held: on held-out samples.
        untrained: the task's loss on them before training.
        constant: loss and score on them of the best output that is the same for all.
        step_time: seconds a step, the median.
        sample_time: seconds a held-out sample, over all looks at it.
        overhead: seconds for what is neither, without loading the data.
        cut: whether time ended it before the last step.
    """

    outcome: Outcome
    held: Held
    untrained: float
    constant: Held
    step_time: float
    sample_time: float
    overhead: float
    cut: bool

    @property
    def learnt(self) -> bool:
        """Whether it does better than a constant output, by loss or, as a sure net may be wrong at high cost, score."""
        constant = self.constant
        return self.held.loss < (1 - _BETTER) * min(constant.loss, self.untrained) or self.held.score > (
            constant.score + _BETTER_SCORE
        )

    @property
    def steps(self) -> int:
        """The steps made."""
        return len(self.outcome.curve)


@dataclass
class Trainings:
    """Makes short trainings of a set-up and variants of it, on the same data, which is loaded once.

    Attributes:
        conf: the folder of the configs.
        overrides: of train.py, the set-up.
        held_out: how many validation samples are looked at.
    """

    conf: Path
    overrides: Sequence[str]
    held_out: int = 2000
    _loaded: dict[str, LightningDataModule] = field(default_factory=dict, init=False)
    _kept: dict[tuple[str, int], HeldOut] = field(default_factory=dict, init=False)

    def config(self, change: Sequence[str] = ()) -> tuple[DictConfig, dict[str, str]]:
        """The config of the set-up with a change, and the option chosen of each group."""
        return composed(self.conf, [*self.overrides, *change, "out_dir=."])  # where nothing will be written

    def run(
        self,
        label: str,
        change: Sequence[str] = (),
        *,
        steps: int,
        seed: int | None = None,
        prepare: Prepare | None = None,
        seconds: float = math.inf,
    ) -> ShortRun:
        """Train and evaluate; random numbers are left as they were.

        Args:
            label: what is trained.
            change: overrides beside the set-up's.
            steps: of the optimizer.
            seed: None takes the set-up's own.
            prepare: changes the set-up before it is trained.
            seconds: ends the training early.

        Raises:
            RunError: something that the user can mend.
        """
        started = perf_counter()
        cfg, choices = self.config(change if seed is None else [*change, f"seed={seed}"])
        with quiet(), flushed_denormals(), isolate_rng():
            made = set_up(cfg, choices, self._data(cfg))
            self._loaded[_part(cfg)] = made.data
            kept = self._held_out(made.data, cfg)
            loaded = perf_counter()
            if prepare is not None:
                prepare(made)
            task = made.checked.task
            module = RegularizedModule(
                made.net,
                optimizer=instantiate(cfg.optimizer),
                task=task,
                penalties=made.rules.penalties,
                constraints=made.rules.constraints,
                proximal=made.rules.proximal,
                label_smoothing=made.rules.label_smoothing,
                schedule=made.rules.schedule,
            )
            begun = perf_counter()
            outputs = outputs_of(made.net, kept)
            untrained = evaluate(task, outputs, kept.targets).loss
            evaluation = perf_counter() - begun
            constant = best_constant(task, outputs.shape[1], kept.targets)
            watch = _Watch(perf_counter() + seconds)
            torch.manual_seed(cfg.seed or 0)  # variants draw the same masks and augmentations
            trainer = _trainer(cfg, steps, watch)
            with interruptible(trainer):
                trainer.fit(module, datamodule=made.data)
            _settle(module.net, made.data, watch)
            held = evaluate(task, outputs_of(made.net, kept), kept.targets)
        curve = watch.losses
        outcome = Outcome(
            label,
            tuple(change),
            fmean(curve[-max(1, round(_LAST * len(curve))) :]) if curve else math.nan,
            held.loss,
            held.score,
            task.score,
            tuple(curve),
            perf_counter() - started,
        )
        others = perf_counter() - loaded - 2 * evaluation - len(curve) * watch.step_time
        return ShortRun(
            outcome,
            held,
            untrained,
            constant,
            step_time=watch.step_time,
            sample_time=2 * evaluation / len(kept.targets),
            overhead=max(0.0, others),
            cut=watch.late and len(curve) < steps,
        )

    def _data(self, cfg: DictConfig) -> LightningDataModule | None:
        """The data of an earlier run, shuffled anew by this one's seed."""
        data = self._loaded.get(_part(cfg))
        if not isinstance(data, ArraysDataModule) or data.seed is None:
            return None
        data.trainer, data.batch_size, data.seed = None, cfg.data.batch_size, cfg.data.seed
        data.load_state_dict({"seed": cfg.data.seed, "epoch": 0})
        return data

    def _held_out(self, data: LightningDataModule, cfg: DictConfig) -> HeldOut:
        key = _part(cfg), self.held_out
        if key not in self._kept:
            self._kept = {key: held_out(data, self.held_out)}
        return self._kept[key]


def _part(cfg: DictConfig) -> str:
    """The data's config but for what batches are made of it, which splits nothing."""
    left_out = "seed", "batch_size"
    return repr({key: value for key, value in sorted(cfg.data.items(), key=str) if key not in left_out})


def _settle(net: nn.Module, data: LightningDataModule, watch: _Watch) -> None:
    """Bring batch norms' running statistics to where a long training would: Keras's momentum lags by 100s of steps.

    Dropout stays on, as it does in training.
    """
    count = min(_SETTLING[1], max(_SETTLING[0], len(watch.losses) // 16))
    batches = islice(training_batches(data, next(net.parameters()).device), count)
    update_bn((x for x, _ in batches), net)


def _trainer(cfg: DictConfig, steps: int, watch: _Watch) -> Trainer:
    """The set-up's own trainer, but for where it ends and what it writes."""
    return instantiate(cfg.trainer, _partial_=True)(
        max_epochs=-1,
        max_steps=steps,
        min_epochs=None,
        min_steps=None,
        max_time=None,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=False,
        callbacks=[watch],
    )


class _Watch(Callback):
    """Keeps each step's task loss, and ends a training that diverged or is late."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.losses: list[float] = []
        self.late = False
        self._times: list[float] = []

    @property
    def step_time(self) -> float:
        """Seconds a step, the median."""
        steps = [b - a for a, b in pairwise(self._times)]
        return median(steps[min(_UNTIMED, len(steps) - 1) :]) if steps else 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._times.append(perf_counter())

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = outputs["loss"] if isinstance(outputs, Mapping) else outputs
        held = outputs.get("penalty", 0.0) if isinstance(outputs, Mapping) else 0.0
        self.losses.append(float(loss) * trainer.accumulate_grad_batches - float(held))
        self._times.append(perf_counter())
        self.late = perf_counter() > self.deadline
        if self.late or not math.isfinite(self.losses[-1]):
            trainer.should_stop = True
