"""The callback that adds penalties and constraints to any LightningModule."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from regtorch.constraints import Constraint
from regtorch.lightning.epochs import logging_is_due
from regtorch.lightning.means import EpochMeans, WeightedMean, losses_of, of_all_processes, take_in
from regtorch.lightning.samples import samples_of
from regtorch.penalties import Penalty
from regtorch.trainers.attaching import Attaching, Bound, Given
from regtorch.trainers.scheduled import Schedule

__all__ = ["Regularize", "log_step"]

_MEANS = "regtorch.Regularize.means"  # in checkpoints


class Regularize(Callback):
    """Applies rules at every `optimizer.step()` of a trainer and logs task loss, penalty and their sum.

    Each rule acts once on each of its weights, in the optimizer that owns it, with automatic or manual optimization.
    It logs `task_loss`, `penalty` and `loss`, their sum, under `train/`, `val/` and `test/`. The task loss is what
    `training_step` (`validation_step`, `test_step`) returns, as a tensor or under "loss"; a step whose loss already
    includes penalties returns their sum under "penalty". The penalty is computed every `trainer.log_every_n_steps`
    steps and at the end of an epoch; `train/penalty` is its mean over the epoch's steps, interpolated linearly. At
    those steps the three are also logged as `train/loss_step` and so on.

    Args:
        given: unbound rules such as `rt.L2(1e-4)`, which are bound to the LightningModule when fitting starts, or bound
            ones such as `rt.L2(1e-4).on(module.encoder)`. A pair (penalty, schedule) has its own schedule. A training
            resumed by `ckpt_path` keeps the starting point of `L2SP` and `EWC`, the weights that the module was made
            with.
        rules: further ones as a list, for configs of LightningCLI and Hydra.
        proximal: apply the penalties by proximal steps, which give exact zeros.
        schedule: sets the scale of every other penalty before each step, as `rt.schedules.warmup(1000)` does. A
            training resumed by `ckpt_path` continues the schedule: checkpoints contain the number of steps taken.
        debug: check each rule on copies of the weights before the first step, as `attach(..., debug=True)` does.

    Raises:
        TypeError: a rule is not a penalty or constraint, or is an `Activity` or a rule of outputs, which must be part
            of the loss; or a schedule is not a function.
        ValueError: there are no rules (an empty list is accepted), or there is a schedule but no penalty. When fitting
            starts: it is resumed, and a module that makes its net in `configure_model` has no starting point of an
            `L2SP`.

    Example:
        >>> import lightning, regtorch as rt
        >>> warmup = rt.schedules.warmup(1000)
        >>> trainer = lightning.Trainer(callbacks=[Regularize(rt.L2(1e-4), rt.MaxNorm(3.0))])  # doctest: +SKIP
        >>> Regularize((rt.L2(1e-4), warmup), rt.L1(1e-5, select="bias")).rules
        (L2(lam=0.0001), L1(lam=1e-05, select='bias'))
    """

    def __init__(
        self,
        *given: Given,
        rules: Sequence[Given] | None = None,
        proximal: bool = False,
        schedule: Schedule | None = None,
        debug: bool = False,
    ) -> None:
        if not given and rules is None:
            raise ValueError("Regularize: expected rules such as Regularize(rt.L2(1e-4)), received none")
        self._attaching = Attaching(
            "Regularize",
            (*given, *(rules or ())),
            proximal=proximal,
            schedule=schedule,
            debug=debug,
            in_loss="add it to the loss in training_step, or give it to RegularizedModule(penalties=...), which does",
        )
        self._module: LightningModule | None = None
        self._resumed = False
        self._means: EpochMeans | None = None
        self._loaded_means: dict[str, Any] | None = None
        self.log_step: Callable[[LightningModule, Mapping[str, Tensor]], None] = log_step

    @property
    def rules(self) -> tuple[Penalty | Constraint | Bound, ...]:
        """The rules as they were given, without schedules."""
        return self._attaching.rules

    @property
    def bound(self) -> tuple[Bound, ...]:
        """The rules as they are bound for the current or last fit."""
        return self._attaching.bound

    # -- acting

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Remember the starting point of rules such as `L2SP`, before a checkpoint is loaded."""
        self._resumed = False
        if stage == "fit":
            self._attaching.remember(pl_module)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Bind the rules and attach each to the optimizers that own its weights."""
        if any(isinstance(c, Regularize) and c is not self for c in trainer.callbacks):  # pyright: ignore[reportAttributeAccessIssue]
            raise ValueError(
                "Regularize: the trainer has two of these callbacks, which would log over each other; "
                "give all rules to one, as in Regularize(rt.L2(1e-4), rt.MaxNorm(3.0))"
            )
        self._module = pl_module
        advice = "give those parameters to an optimizer in configure_optimizers"
        self._attaching.begin(pl_module, trainer.optimizers, advice, resumed=self._resumed)
        self._attaching.forget()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Attach rules to param groups that were added, for example when layers are unfrozen."""
        self._attaching.attach_to_new_groups(trainer.optimizers)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._attaching.end()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._attaching.end()

    @property
    def state_key(self) -> str:
        """Unique without schedules, so that Lightning does not warn about two stateless callbacks."""
        return super().state_key + (f"-{id(self)}" if not any(self._attaching.scheduled.schedules) else "")

    def state_dict(self) -> dict[str, Any]:
        return self._attaching.scheduled.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._attaching.scheduled.load_state_dict(state_dict)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add the epoch's running means, so that a training resumed within the epoch logs the same."""
        if self._means is not None:
            checkpoint[_MEANS] = of_all_processes(trainer, self._means.state_dict())

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self._resumed = True
        states = checkpoint.get(_MEANS, [])
        self._loaded_means = states[trainer.global_rank] if trainer.global_rank < len(states) else None

    # -- logging

    def penalty(self, device: torch.device) -> Tensor:
        """The current sum of the penalties."""
        return self._attaching.penalty(device)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on with the means of an epoch that is resumed: its start is not called again."""
        self._means, loaded, self._loaded_means = None, self._loaded_means, None
        if loaded is not None:
            self._means = EpochMeans.of(loaded, pl_module.device)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._means = EpochMeans(self.penalty(pl_module.device))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take in the step's loss; log it with the penalty where logging is due."""
        if self._means is None:  # resumed within an epoch from a checkpoint without means
            self._means = EpochMeans(self.penalty(pl_module.device))
        means = self._means
        means.steps += 1
        task_loss, in_loss = losses_of(outputs)
        if task_loss is not None:
            if pl_module.automatic_optimization and trainer.accumulate_grad_batches > 1:
                task_loss = task_loss * trainer.accumulate_grad_batches  # Lightning hands out the loss divided by this
            task_loss = take_in(task_loss, in_loss, samples_of(batch), means.task_loss, means.in_loss)
        if logging_is_due(trainer, means.steps):
            penalty = self.penalty(pl_module.device)
            means.penalty.add(penalty, means.steps)
            self.log_step(pl_module, _values("train", task_loss, _sum(penalty, in_loss), "_step"))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        means = self._means or EpochMeans(self.penalty(pl_module.device))
        if means.steps and not logging_is_due(trainer, means.steps):
            means.penalty.add(self.penalty(pl_module.device), means.steps)
        penalty = _sum(means.penalty.value(), means.in_loss.value())
        _log(pl_module, "train", means.task_loss.value(), penalty, sync_dist=True)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start_evaluation(pl_module)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._evaluated(pl_module, outputs, batch, dataloader_idx)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._log_evaluation(trainer, pl_module, "val")

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start_evaluation(pl_module)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._evaluated(pl_module, outputs, batch, dataloader_idx)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._log_evaluation(trainer, pl_module, "test")

    def _start_evaluation(self, module: LightningModule) -> None:
        if self._module is not module:  # evaluated before a fit, or after the fit of another module
            self._module = module
            self._attaching.bind(module)
        self._evaluation: dict[
            int, tuple[WeightedMean, WeightedMean]
        ] = {}  # of each loader: task loss, penalties in its losses

    def _evaluated(self, module: LightningModule, outputs: Any, batch: Any, loader: int) -> None:
        if not self._evaluation:  # only now: of averaged weights, if a callback has swapped those in
            self._now = self.penalty(module.device)
        task, of_penalties = self._evaluation.setdefault(loader, (WeightedMean(), WeightedMean()))
        task_loss, in_loss = losses_of(outputs)
        if task_loss is not None:
            take_in(task_loss, in_loss, samples_of(batch), task, of_penalties)

    def _log_evaluation(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        for loader, means in self._evaluation.items():
            # Already the same in all processes, weighed by samples; sync_dist, whose mean weighs equally, says so.
            task_loss, in_loss = (mean.value(trainer.strategy) for mean in means)
            name = f"/dataloader_idx_{loader}" if len(self._evaluation) > 1 else ""
            told = {"add_dataloader_idx": False, "sync_dist": trainer.world_size > 1}
            _log(module, stage, task_loss, _sum(self._now, in_loss), name, **told)


def _sum(penalty: Tensor, in_loss: Tensor | None) -> Tensor:
    return penalty if in_loss is None else penalty + in_loss


def _log(
    module: LightningModule, stage: str, task_loss: Tensor | None, penalty: Tensor, suffix: str = "", **options: Any
) -> None:
    for name, value in _values(stage, task_loss, penalty, suffix).items():
        module.log(name, value, **options)


def log_step(module: LightningModule, values: Mapping[str, Tensor]) -> None:
    """Log values of a training step."""
    for name, value in values.items():
        module.log(name, value, on_step=True, on_epoch=False)


def _values(stage: str, task_loss: Tensor | None, penalty: Tensor, suffix: str) -> dict[str, Tensor]:
    values = {f"{stage}/penalty{suffix}": penalty}
    if task_loss is not None:
        values |= {f"{stage}/task_loss{suffix}": task_loss, f"{stage}/loss{suffix}": task_loss + penalty}
    return values
