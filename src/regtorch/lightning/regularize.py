"""The callback that adds penalties and constraints to any LightningModule."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from regtorch.bound.activity import Activity, BoundActivity
from regtorch.bound.constraint import BoundConstraint
from regtorch.bound.terms import BoundTerms
from regtorch.constraints import Constraint
from regtorch.lightning.epochs import logging_is_due
from regtorch.lightning.means import EpochMeans, WeightedMean, losses_of, of_all_processes, take_in
from regtorch.lightning.samples import samples_of
from regtorch.lightning.scheduled import Schedule, paired
from regtorch.outputs import OutputRule
from regtorch.penalties import Penalty
from regtorch.steps.hooks import Handle, owned_by

__all__ = ["Regularize"]

_MEANS = "regtorch.Regularize.means"  # in checkpoints

Bound = BoundTerms | BoundConstraint


class Regularize(Callback):
    """Applies rules at every `optimizer.step()` of a trainer and logs task loss, penalty and their sum.

    Each rule acts once on each of its weights, in the optimizer that owns it, with automatic or manual optimization.
    It logs `task_loss`, `penalty` and `loss`, their sum, under `train/`, `val/` and `test/`. The task loss is what
    `training_step` (`validation_step`, `test_step`) returns, as a tensor or under "loss"; a step whose loss already
    includes penalties returns their sum under "penalty". The penalty is computed every `trainer.log_every_n_steps`
    steps and at the end of an epoch; `train/penalty` is its mean over the epoch's steps, interpolated linearly. At
    those steps the three are also logged as `train/loss_step` and so on.

    Args:
        rules: unbound rules such as `rt.L2(1e-4)`, which are bound to the LightningModule when fitting starts, or bound
            ones such as `rt.L2(1e-4).on(module.encoder)`. A pair (penalty, schedule) has its own schedule.
        proximal: apply the penalties by proximal steps, which give exact zeros.
        schedule: sets the scale of every other penalty before each step, as `rt.schedules.warmup(1000)` does. A
            training resumed by `ckpt_path` continues the schedule: checkpoints contain the number of steps taken.
        debug: check each rule on copies of the weights before the first step, as `attach(..., debug=True)` does.

    Raises:
        TypeError: a rule is not a penalty or constraint, or is an `Activity` or a rule of outputs, which must be part
            of the loss; or a schedule is not a function.
        ValueError: there is a schedule but no penalty.

    Example:
        >>> import lightning, regtorch as rt
        >>> warmup = rt.schedules.warmup(1000)
        >>> trainer = lightning.Trainer(callbacks=[Regularize(rt.L2(1e-4), rt.MaxNorm(3.0))])  # doctest: +SKIP
        >>> Regularize((rt.L2(1e-4), warmup), rt.L1(1e-5, select="bias")).rules
        (L2(lam=0.0001), L1(lam=1e-05, select='bias'))
    """

    def __init__(
        self,
        *rules: Penalty | Constraint | Bound | tuple[Penalty | BoundTerms, Schedule],
        proximal: bool = False,
        schedule: Schedule | None = None,
        debug: bool = False,
    ) -> None:
        self.rules, self._scheduled = paired(rules, schedule)
        for rule in self.rules:
            _check(rule)
        self.proximal = proximal
        self.debug = debug
        self.bound: tuple[Bound, ...] = ()
        self._module: LightningModule | None = None
        self._handles: dict[tuple[int, int], Handle] = {}  # by the ids of rule and optimizer
        self._groups: list[int] = []
        self._means: EpochMeans | None = None
        self._loaded_means: dict[str, Any] | None = None

    # -- acting

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Bind the rules and attach each to the optimizers that own its weights."""
        if any(isinstance(c, Regularize) and c is not self for c in trainer.callbacks):  # pyright: ignore[reportAttributeAccessIssue]
            raise ValueError(
                "Regularize: the trainer has two of these callbacks, which would log over each other; "
                "give all rules to one, as in Regularize(rt.L2(1e-4), rt.MaxNorm(3.0))"
            )
        self._detach()
        self._bind(pl_module)
        for rule in self.bound:
            if not any(_owns(optimizer, rule) for optimizer in trainer.optimizers):
                raise ValueError(
                    f"Regularize: no optimizer of the trainer owns a weight of {rule!r}; "
                    "give those parameters to an optimizer in configure_optimizers, or leave the rule out"
                )
        self._attach(trainer)

    def _attach(self, trainer: Trainer) -> None:
        for i, (rule, schedule) in enumerate(zip(self.bound, self._scheduled.schedules, strict=True)):
            for j, optimizer in enumerate(trainer.optimizers):
                key = id(rule), id(optimizer)
                if key not in self._handles and _owns(optimizer, rule):
                    self._handles[key] = (
                        rule.attach(optimizer, debug=self.debug)
                        if isinstance(rule, BoundConstraint)
                        else rule.attach(optimizer, proximal=self.proximal, schedule=schedule, debug=self.debug)
                    )
                    self._scheduled.follow(i, j, self._handles[key], rule)
        self._groups = _group_counts(trainer)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Attach rules to param groups that were added, for example when layers are unfrozen."""
        if _group_counts(trainer) != self._groups:
            self._attach(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._detach()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._detach()

    @property
    def state_key(self) -> str:
        """Unique without schedules, so that Lightning does not warn about two stateless callbacks."""
        return super().state_key + (f"-{id(self)}" if not any(self._scheduled.schedules) else "")

    def state_dict(self) -> dict[str, Any]:
        return self._scheduled.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._scheduled.load_state_dict(state_dict)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add the epoch's running means, so that a training resumed within the epoch logs the same."""
        if self._means is not None:
            checkpoint[_MEANS] = of_all_processes(trainer, self._means.state_dict())

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        states = checkpoint.get(_MEANS, [])
        self._loaded_means = states[trainer.global_rank] if trainer.global_rank < len(states) else None

    def _detach(self) -> None:
        self._scheduled.stop()
        while self._handles:
            self._handles.popitem()[1].remove()

    def _bind(self, module: LightningModule) -> None:
        self._module = module
        self.bound = tuple(rule.on(module) if isinstance(rule, Penalty | Constraint) else rule for rule in self.rules)

    # -- logging

    @torch.no_grad()
    def penalty(self, device: torch.device) -> Tensor:
        """The current sum of the penalties."""
        values = [rule().to(device) for rule in self.bound if isinstance(rule, BoundTerms)]
        return torch.stack(values).sum() if values else torch.zeros((), device=device)

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
            _log(pl_module, "train", task_loss, _sum(penalty, in_loss), "_step", on_step=True, on_epoch=False)

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
        self._evaluated(outputs, batch, dataloader_idx)

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
        self._evaluated(outputs, batch, dataloader_idx)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._log_evaluation(trainer, pl_module, "test")

    def _start_evaluation(self, module: LightningModule) -> None:
        if self._module is not module:  # evaluated before a fit, or after the fit of another module
            self._bind(module)
        self._now = self.penalty(module.device)
        self._evaluation: dict[
            int, tuple[WeightedMean, WeightedMean]
        ] = {}  # of each loader: task loss, penalties in its losses

    def _evaluated(self, outputs: Any, batch: Any, loader: int) -> None:
        task, of_penalties = self._evaluation.setdefault(loader, (WeightedMean(), WeightedMean()))
        task_loss, in_loss = losses_of(outputs)
        if task_loss is not None:
            take_in(task_loss, in_loss, samples_of(batch), task, of_penalties)

    def _log_evaluation(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        for loader, means in self._evaluation.items():
            # Not sync_dist, whose mean over processes weighs them equally.
            task_loss, in_loss = (mean.value(trainer.strategy) for mean in means)
            name = f"/dataloader_idx_{loader}" if len(self._evaluation) > 1 else ""
            _log(module, stage, task_loss, _sum(self._now, in_loss), name, add_dataloader_idx=False)


def _check(rule: object) -> None:
    terms = [term for _, term in rule.terms()] if isinstance(rule, BoundTerms) else [rule]
    if any(isinstance(term, Activity | BoundActivity) for term in terms):
        raise TypeError(
            "Regularize: an Activity penalty acts through the outputs' graph; add it to the loss in training_step, "
            "or give it to RegularizedModule(penalties=...), which does"
        )
    if isinstance(rule, OutputRule):
        raise TypeError(
            f"Regularize: {rule!r} depends on the data; add it to the loss in training_step, or give it to "
            "RegularizedModule(penalties=...), which does"
        )
    if not isinstance(rule, Penalty | Constraint | BoundTerms | BoundConstraint):
        raise TypeError(f"Regularize: expected rules such as rt.L2(0.01) or rt.MaxNorm(3.0), received {rule!r}")


def _owns(optimizer: Optimizer, rule: Bound) -> bool:
    """Whether an optimizer has a weight of the rule, frozen ones included."""
    owned = owned_by(optimizer)
    parts = [rule] if isinstance(rule, BoundConstraint) else [term for _, term in rule.terms()]
    return any(id(p) in owned for part in parts for _, p in part.leaves(frozen=True))


def _group_counts(trainer: Trainer) -> list[int]:
    return [len(optimizer.param_groups) for optimizer in trainer.optimizers]


def _sum(penalty: Tensor, in_loss: Tensor | None) -> Tensor:
    return penalty if in_loss is None else penalty + in_loss


def _log(
    module: LightningModule, stage: str, task_loss: Tensor | None, penalty: Tensor, suffix: str = "", **options: Any
) -> None:
    module.log(f"{stage}/penalty{suffix}", penalty, **options)
    if task_loss is not None:
        module.log(f"{stage}/task_loss{suffix}", task_loss, **options)
        module.log(f"{stage}/loss{suffix}", task_loss + penalty, **options)
