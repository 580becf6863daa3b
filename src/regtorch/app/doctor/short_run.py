"""A short training of a setup, evaluated on held-out samples."""

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

__all__ = ["Prepare", "ShortRun", "TrainingOutcome", "Trainings"]

_LAST = 0.1  # share of the steps over which the training loss is averaged
_SETTLING = 4, 16  # batches
_BETTER, _BETTER_SCORE = 0.03, 0.05  # than a constant output
_UNTIMED = 2  # the first steps are slower

Prepare = Callable[[SetUp], None]
"""Changes a setup before it is trained."""


@dataclass(frozen=True)
class TrainingOutcome:
    """The outcome of a short training, as doctor.json records it."""

    label: str
    overrides: Sequence[str]
    train_loss: float  # the task's, over the last tenth of the steps
    val_loss: float  # the task's, on held-out samples after the last step; infinite if it diverged
    score: float  # on the same samples
    score_name: str  # such as accuracy
    curve: Sequence[float]  # the task's loss of each step
    seconds: float


@dataclass(frozen=True)
class ShortRun:
    """An outcome, with what its noise and its cost are estimated from."""

    outcome: TrainingOutcome
    held: Held  # after training
    untrained: float  # the task's loss on held-out samples before training
    constant: Held  # of the best constant output
    step_time: float  # median seconds per step
    sample_time: float  # seconds per held-out sample, over both evaluations
    overhead: float  # remaining seconds, without loading the data
    cut: bool  # whether the time limit ended it early

    @property
    def learnt(self) -> bool:
        """Whether it beats a constant output by loss or by score, as confident errors make the loss large."""
        by_loss = self.held.loss < (1 - _BETTER) * min(self.constant.loss, self.untrained)
        return by_loss or self.held.score > self.constant.score + _BETTER_SCORE

    @property
    def steps(self) -> int:
        return len(self.outcome.curve)


@dataclass
class Trainings:
    """Runs short trainings of a setup and its variants on the same data, loaded once."""

    conf: Path  # the folder of the configs
    overrides: Sequence[str]  # of the setup
    held_out: int = 2000  # validation samples used
    _loaded: dict[str, LightningDataModule] = field(default_factory=dict, init=False)
    _kept: dict[tuple[str, int], HeldOut] = field(default_factory=dict, init=False)

    def config(self, change: Sequence[str] = ()) -> tuple[DictConfig, dict[str, str]]:
        """The config of the setup with a change, and the option chosen in each group."""
        return composed(self.conf, [*self.overrides, *change, "out_dir=."])  # nothing is written there

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
        """Train for at most `steps` steps and `seconds`, and evaluate; random number generators are restored.

        Args:
            label: names the outcome.
            change: overrides in addition to the setup's.
            steps: of the optimizer.
            seed: None uses the setup's own.
            prepare: changes the setup before it is trained.
            seconds: limits the training time.

        Raises:
            RunError: a fault that the user can fix.
        """
        started = perf_counter()
        cfg, choices = self.config(change if seed is None else [*change, f"seed={seed}"])
        with quiet(), flushed_denormals(), isolate_rng():
            setup = set_up(cfg, choices, self._data(cfg))
            self._loaded[_part(cfg)] = setup.data
            kept = self._held_out(setup.data, cfg)
            loaded = perf_counter()
            if prepare is not None:
                prepare(setup)
            task = setup.checked.task
            module = RegularizedModule(
                setup.net,
                optimizer=instantiate(cfg.optimizer),
                task=task,
                penalties=setup.rules.penalties,
                constraints=setup.rules.constraints,
                proximal=setup.rules.proximal,
                label_smoothing=setup.rules.label_smoothing,
                schedule=setup.rules.schedule,
            )
            begun = perf_counter()
            outputs = outputs_of(setup.net, kept)
            untrained = evaluate(task, outputs, kept.targets).loss
            evaluation = perf_counter() - begun
            constant = best_constant(task, outputs.shape[1], kept.targets)
            losses = _LossRecorder(perf_counter() + seconds)
            torch.manual_seed(cfg.seed or 0)  # the same masks and augmentations for all variants
            trainer = _trainer(cfg, steps, losses)
            with interruptible(trainer):
                trainer.fit(module, datamodule=setup.data)
            curve = losses.losses
            _settle(module.net, setup.data, len(curve))
            held = evaluate(task, outputs_of(setup.net, kept), kept.targets)
        outcome = TrainingOutcome(
            label,
            tuple(change),
            fmean(curve[-max(1, round(_LAST * len(curve))) :]) if curve else math.nan,
            held.loss,
            held.score,
            task.score,
            tuple(curve),
            perf_counter() - started,
        )
        overhead = perf_counter() - loaded - 2 * evaluation - len(curve) * losses.step_time
        return ShortRun(
            outcome,
            held,
            untrained,
            constant,
            step_time=losses.step_time,
            sample_time=2 * evaluation / len(kept.targets),
            overhead=max(0.0, overhead),
            cut=losses.late and len(curve) < steps,
        )

    def _data(self, cfg: DictConfig) -> LightningDataModule | None:
        """The data of an earlier run, reshuffled with this run's seed."""
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
    """The config of the data without its batching, which does not affect the split."""
    return repr({key: value for key, value in sorted(cfg.data.items(), key=str) if key not in ("seed", "batch_size")})


def _settle(net: nn.Module, data: LightningDataModule, steps: int) -> None:
    """Update batch norms' running statistics under dropout: they lag after few steps, whatever `settle_batch_norm`."""
    count = min(_SETTLING[1], max(_SETTLING[0], steps // 16))
    batches = islice(training_batches(data, next(net.parameters()).device), count)
    update_bn((x for x, _ in batches), net)


def _trainer(cfg: DictConfig, steps: int, recorder: Callback) -> Trainer:
    """The setup's own trainer, except for when it ends and what it writes."""
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
        callbacks=[recorder],
    )


class _LossRecorder(Callback):
    """Records each step's task loss, and stops a training that diverged or is late."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.losses: list[float] = []
        self.late = False
        self._times: list[float] = []

    @property
    def step_time(self) -> float:
        """Median seconds per step."""
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
