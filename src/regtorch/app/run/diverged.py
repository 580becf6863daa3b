"""Stop a diverged training: a loss, a gradient, a penalty, a weight or the optimizer's state is no longer finite."""

import math
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import Optimizer

from regtorch.app.ground.errors import Diverged
from regtorch.app.record.file_names import STEP
from regtorch.app.run.checkpoints import AtomicCheckpoints
from regtorch.app.run.culprit import (
    ADVICE,
    Culprit,
    Step,
    random_of,
    term_of_gradient,
    term_of_loss,
    term_of_penalty,
    term_of_validation,
    write_step,
)
from regtorch.app.run.held import buffers_of, tensors_of, values_of
from regtorch.lightning.epochs import EpochCallback, logging_is_due
from regtorch.lightning.means import of_all_processes
from regtorch.numerics.finite import not_finite
from regtorch.numerics.sharded import is_sharded
from regtorch.steps.one_pass.unseen import needs_no_gradients

__all__ = ["StopWhenDiverged", "check_losses"]

_MOST_GROWTH = 2.0**24
"""The largest growth of a loss; beyond it, float32's 24 bits no longer resolve the initial value."""

_LEAST_SCALE = 2.0**-24
"""A GradScaler begins at 2¹⁶ and halves its scale at each infinite gradient."""

_FEW, _SMALL = 3, 2**14
"""How many gradients every step checks on a CPU, and the most numbers in one: those nearest the inputs, which a NaN
from any later layer reaches. Reading all gradients takes 2.5 % of a step of model=cnn."""


class StopWhenDiverged(EpochCallback):
    """Raises `Diverged` if a loss, a gradient, a penalty, a weight or the optimizer's state is NaN or infinite.

    A step's loss and gradients are checked before its update, so that the weights are those before the step: every
    `log_every_n_steps` steps, at the first and the last of an epoch, and on a CPU, where no check waits for a device,
    the loss and a few small gradients at every step. Penalties on weights are checked as often as they are logged;
    weights, buffers and optimizer state before every validation, checkpoint and save. Several processes check losses
    and gradients as often as losses are logged, as they must agree. A GradScaler leaves out steps whose gradients of
    the loss are infinite; training ends if they are so at every scale. Buffers that were infinite when training
    began, as masks are, may stay so.

    Args:
        folder: where the step is written to diverged.pt; None writes nothing.
        settings: the run's resolved config, for that file.
    """

    def __init__(self, folder: Path | None = None, settings: Any = None) -> None:
        self._folder, self._settings = folder, settings
        self._batch: tuple[Any, int] = (None, 0)  # of the current step, with its number
        self._random: dict[str, Tensor] = {}
        self._due = False
        self._hooks: list[Any] = []
        self._names: dict[int, str] = {}  # of the weights
        self._masks: frozenset[str] = frozenset()  # buffers that were infinite from the start
        self._finite_after = 0  # steps

    # -- a step

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check gradients at the end of the optimizers' closures, when the penalties have added theirs."""
        self.teardown(trainer, pl_module, "fit")
        net = getattr(pl_module, "net", pl_module)
        self._names = {id(p): name for name, p in net.named_parameters()}
        self._masks = frozenset(not_finite(dict(buffers_of(pl_module))))
        self._finite_after = trainer.global_step
        if isinstance(trainer.strategy.checkpoint_io, AtomicCheckpoints):
            trainer.strategy.checkpoint_io.masks = self._masks
        for optimizer in trainer.optimizers:
            hook = self._checked_closure(trainer, pl_module)
            self._hooks.append(optimizer.register_step_pre_hook(hook))

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        while self._hooks:
            self._hooks.pop().remove()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Remember the step, and check the penalty that was logged after the one before."""
        penalty = trainer.callback_metrics.get("train/penalty_step") if self._due else None
        self._batch = batch, batch_idx
        self._random = random_of(pl_module.device)
        self._due = logging_is_due(trainer, batch_idx + 1) or batch_idx == 0 or trainer.is_last_batch
        if penalty is not None and not bool(penalty.isfinite()):
            self._stop(trainer, pl_module, term_of_penalty(pl_module) or Culprit("the penalty", float(penalty)))

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Check a step's loss."""
        if not self._checks(pl_module):
            return
        finite = math.isfinite(loss.item())
        if not _all_agree(trainer, finite):
            term = None if finite or _meets_others(pl_module) else term_of_loss(trainer, pl_module, self._now(trainer))
            self._stop(trainer, pl_module, term or Culprit("train/loss", float(loss.detach())), here=not finite)

    def _checks(self, module: LightningModule) -> bool:
        return self._due or (module.device.type == "cpu" and module.trainer.world_size == 1)

    def _now(self, trainer: Trainer) -> Step:
        return Step.of(trainer, *self._batch, self._random)

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check a batch's gradients before they are accumulated or clipped, which spreads a NaN to other weights."""
        mixed = trainer.accumulate_grad_batches > 1 or trainer.gradient_clip_val is not None
        if mixed and _scaler(trainer) is None and self._checks(pl_module):
            for optimizer in trainer.optimizers:
                self._check_gradients(trainer, pl_module, optimizer)

    def _checked_closure(
        self, trainer: Trainer, module: LightningModule
    ) -> Callable[[Optimizer, tuple[Any, ...], dict[str, Any]], Any]:
        @needs_no_gradients
        def before_step(optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            closure = kwargs.get("closure")
            if not self._checks(module):
                return None
            if closure is None:  # a GradScaler's step: those with infinite gradients of the loss do not come here
                if _scaler(trainer) is not None and not getattr(optimizer, "found_inf", None):
                    self._check_gradients(trainer, module, optimizer)
                return None

            def checked() -> Any:
                self._random = random_of(module.device)
                loss = closure()
                self._check_gradients(trainer, module, optimizer)
                return loss

            return args, {**kwargs, "closure": checked}

        return before_step

    def _check_gradients(self, trainer: Trainer, module: LightningModule, optimizer: Optimizer) -> None:
        params = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        grads = {self._names.get(id(p), "a weight"): values_of(p.grad) for p in params}
        small = ((name, grad) for name, grad in grads.items() if grad.numel() <= _SMALL)
        wrong = not_finite(grads if self._due else dict(islice(small, _FEW)))
        if not _all_agree(trainer, not wrong):
            found = term_of_gradient(module, grads) if wrong and not _is_shared(module) else None
            if wrong and found is None and trainer.world_size > 1:
                found = Culprit(f"the gradient of {wrong[-1]}", math.nan)
            if found is not None or trainer.world_size > 1:
                self._stop(trainer, module, found or Culprit("a gradient", math.nan), here=found is not None)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Under a GradScaler: check gradients once its scale has fallen so far that no overflow explains it."""
        scaler = _scaler(trainer)
        if scaler is not None and self._due and scaler.get_scale() < _LEAST_SCALE:
            self._check_gradients(trainer, pl_module, optimizer)

    def _stop(
        self, trainer: Trainer, module: LightningModule, found: Culprit, step: Step | None = None, here: bool = True
    ) -> None:
        """Write the step and end the training.

        Several processes stop together; those that found it, as `here` says, write their batches.
        """
        text = self._written(trainer, module, found, step or self._now(trainer)) if here else None
        texts = of_all_processes(trainer, text)
        rank = next((rank for rank, text in enumerate(texts) if text is not None), 0)
        where = f" (process {rank} of {len(texts)})" if len(texts) > 1 else ""
        raise Diverged(f"{texts[rank]}{where}")

    def _written(self, trainer: Trainer, module: LightningModule, found: Culprit, step: Step) -> str:
        """Write a step; what to say about it."""
        text = f"{found.term} became {found.value} in {step}: {found.advice}"
        if self._folder is not None and _is_shared(module):
            text += "; its batch is not written, as each process has a part of the weights"
        elif self._folder is not None:
            name = Path(STEP)
            path = self._folder / (f"{name.stem}-{trainer.global_rank}{name.suffix}" if trainer.global_rank else STEP)
            net = getattr(module, "net", module).state_dict()
            try:
                write_step(path, step, found, net, self._settings)
                text += f"; {path} has its batch and the weights before it"
            except OSError as error:
                text += f"; its batch could not be written ({error.strerror or error})"
        return text

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Check the loss of a module that runs backward itself."""
        step = batch_idx + 1
        if self._due and outputs:
            loss = outputs if isinstance(outputs, Tensor) else outputs.get("loss")
            if isinstance(loss, Tensor) and not torch.isfinite(loss).all():
                when = f" in epoch {trainer.current_epoch + 1}, step {step}"
                raise Diverged(f"train/loss became {float(loss)}{when}: {ADVICE}")

    # -- weights

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.training or trainer.validating:
            self._check_weights(trainer, f" in epoch {trainer.current_epoch + 1}")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        self._check_weights(trainer, f" in epoch {trainer.current_epoch + 1}")

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keep a checkpoint or a save from being written from weights that are not finite."""
        self._check_weights(trainer, f" in epoch {trainer.current_epoch + 1}")

    def on_epoch(self, trainer: Trainer, epoch: int, metrics: dict[str, float]) -> None:
        """Check losses, but no score: R² of a single sample is NaN."""
        try:
            check_losses(metrics, {}, f" in epoch {epoch}")
        except Diverged:
            found = term_of_validation(trainer, trainer.lightning_module, epoch)
            if found is not None:
                self._stop(trainer, trainer.lightning_module, *found)
            raise

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the last epoch, and the weights if it was incomplete."""
        super().on_train_end(trainer, pl_module)
        self._check_weights(trainer, " in the last epoch")

    @torch.no_grad()
    def _check_weights(self, trainer: Trainer, when: str) -> None:
        """Check all weights, buffers and the optimizers' state, with one wait for the device."""
        tensors = dict(tensors_of(trainer, trainer.lightning_module))
        wrong = not_finite({name: value for name, value in tensors.items() if name not in self._masks})
        if not trainer.strategy.reduce_boolean_decision(not wrong):
            where = wrong[0].removeprefix("net.") if wrong else "another process"
            step, before = trainer.global_step, self._finite_after
            often = "; save_every=1 checks every step, also in a run that is resumed" if step > before + 1 else ""
            after = f"after step {step:,} (finite after step {before:,})"
            raise Diverged(f"{where} has NaN or infinite values{when}, {after}: {ADVICE}{often}")
        self._finite_after = trainer.global_step


def check_losses(metrics: Mapping[str, float], start: Mapping[str, float], when: str) -> None:
    """Check losses after an epoch or a training; `start` has the untrained net's, without the stage in their names.

    Raises:
        Diverged: a loss is not finite, or far larger than at the start.
    """
    for name, value in metrics.items():
        part = name.partition("/")[2]
        if part not in ("task_loss", "penalty", "loss"):
            continue
        if not math.isfinite(value):
            raise Diverged(f"{name} became {value}{when}: {ADVICE}")
        if part in start and value > _MOST_GROWTH * start[part]:
            raise Diverged(f"{name} became {value:.3g}{when}, from {start[part]:.3g} before training: {ADVICE}")


def _scaler(trainer: Trainer) -> Any:
    return getattr(trainer.precision_plugin, "scaler", None)


def _all_agree(trainer: Trainer, finite: bool) -> bool:
    """Whether the numbers of all processes are finite."""
    return finite if trainer.world_size == 1 else trainer.strategy.reduce_boolean_decision(finite)


def _meets_others(module: nn.Module) -> bool:
    """Whether a pass through a module waits for other processes."""
    return _is_shared(module) or any(isinstance(part, nn.SyncBatchNorm) for part in module.modules())


def _is_shared(module: nn.Module) -> bool:
    """Whether this process has only a part of the weights."""
    return any(is_sharded(p) for p in module.parameters())
