"""Stop a diverged training: a loss, a gradient, a penalty, a weight or the optimizer's state is no longer finite."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
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
    write_step,
)
from regtorch.lightning.epochs import EpochCallback, logging_is_due
from regtorch.numerics.finite import not_finite
from regtorch.numerics.sharded import is_sharded

__all__ = ["StopWhenDiverged", "check_losses"]

_MOST_GROWTH = 2.0**24
"""The largest growth of a loss; beyond it, float32's 24 bits no longer resolve the initial value."""

_FEW, _SMALL = 3, 2**14
"""How many gradients every step checks on a CPU, and the most numbers in one: those nearest the inputs, which a NaN
from any later layer reaches. Reading all gradients takes 2.5 % of a step of model=cnn."""


class StopWhenDiverged(EpochCallback):
    """Raises `Diverged` if a loss, a gradient, a penalty, a weight or the optimizer's state is NaN or infinite.

    A step's loss and gradients are checked before its update, so that the weights are those before the step: every
    `log_every_n_steps` steps, at the first and the last of an epoch, and on a CPU, where no check waits for a device,
    the loss and a few small gradients at every step. Penalties on weights are checked as often as they are logged;
    weights, buffers and optimizer state before every validation, checkpoint and save. With several processes, losses
    are checked after the update, and gradients under a GradScaler by the scaler. Buffers that were infinite when
    training began, as masks are, may stay so.

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

    # -- a step

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check gradients at the end of the optimizers' closures, when the penalties have added theirs."""
        self.teardown(trainer, pl_module, "fit")
        net = getattr(pl_module, "net", pl_module)
        self._names = {id(p): name for name, p in net.named_parameters()}
        self._masks = frozenset(not_finite(dict(_buffers(pl_module))))
        if isinstance(trainer.strategy.checkpoint_io, AtomicCheckpoints):
            trainer.strategy.checkpoint_io.masks = self._masks
        if trainer.world_size == 1 and getattr(trainer.precision_plugin, "scaler", None) is None:
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
        if trainer.world_size == 1 and self._checks(pl_module) and not math.isfinite(loss.item()):
            lost = Culprit("train/loss", float(loss.detach()))
            self._stop(trainer, pl_module, term_of_loss(trainer, pl_module, self._now(trainer)) or lost)

    def _checks(self, module: LightningModule) -> bool:
        return self._due or module.device.type == "cpu"

    def _now(self, trainer: Trainer) -> Step:
        return Step.of(trainer, *self._batch, self._random)

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check a batch's gradients before they are accumulated or clipped, which spreads a NaN to other weights."""
        mixed = trainer.accumulate_grad_batches > 1 or trainer.gradient_clip_val is not None
        if self._hooks and mixed and self._checks(pl_module):
            for optimizer in trainer.optimizers:
                self._check_gradients(trainer, pl_module, optimizer)

    def _checked_closure(
        self, trainer: Trainer, module: LightningModule
    ) -> Callable[[Optimizer, tuple[Any, ...], dict[str, Any]], Any]:
        def before_step(optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            closure = kwargs.get("closure")
            if closure is None or not self._checks(module):
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
        grads = {self._names.get(id(p), "a weight"): _values(p.grad) for p in params}
        small = ((name, grad) for name, grad in grads.items() if grad.numel() <= _SMALL)
        if not_finite(grads if self._due else dict(islice(small, _FEW))):
            found = term_of_gradient(module, grads)
            if found is not None:
                self._stop(trainer, module, found)

    def _stop(self, trainer: Trainer, module: LightningModule, found: Culprit) -> None:
        """Write the step and end the training."""
        step = self._now(trainer)
        text = f"{found.term} became {found.value} in {step}: {found.advice}"
        if self._folder is not None:
            path = self._folder / STEP
            net = getattr(module, "net", module).state_dict()
            try:
                write_step(path, step, found, net, self._settings)
                text += f"; {path} has its batch and the weights before it"
            except OSError as error:
                text += f"; its batch could not be written ({error.strerror or error})"
        raise Diverged(text)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Check the loss of a module that runs backward itself, or of several processes."""
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
        check_losses(metrics, {}, f" in epoch {epoch}")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the last epoch, and the weights if it was incomplete."""
        super().on_train_end(trainer, pl_module)
        self._check_weights(trainer, " in the last epoch")

    @torch.no_grad()
    def _check_weights(self, trainer: Trainer, when: str) -> None:
        """Check all weights, buffers and the optimizers' state, with one wait for the device."""
        tensors = dict(_tensors(trainer, trainer.lightning_module))
        wrong = not_finite({name: value for name, value in tensors.items() if name not in self._masks})
        if not trainer.strategy.reduce_boolean_decision(not wrong):
            where = wrong[0].removeprefix("net.") if wrong else "another process"
            raise Diverged(f"{where} has NaN or infinite values{when}: {ADVICE}")


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


def _values(grad: Tensor) -> Tensor:
    """A gradient's numbers in this process."""
    local = grad.to_local() if is_sharded(grad) else grad  # pyright: ignore[reportAttributeAccessIssue]
    return local._values() if local.layout == torch.sparse_coo else local


def _tensors(trainer: Trainer, module: LightningModule) -> Iterator[tuple[str, Tensor]]:
    """Weights and buffers by their names in checkpoints, and the state of the optimizers."""
    yield from _floats(module.named_parameters())
    yield from _buffers(module)
    names = {id(p): name.removeprefix("net.") for name, p in module.named_parameters()}
    for optimizer in trainer.optimizers:
        for p, state in optimizer.state.items():
            of = f"of {names.get(id(p), 'a weight')} in {type(optimizer).__name__}"
            yield from _floats((f"{key} {of}", value) for key, value in state.items() if isinstance(value, Tensor))


def _buffers(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The buffers that checkpoints hold."""
    for path, part in module.named_modules():
        kept = ((name, value) for name, value in part._buffers.items() if name not in part._non_persistent_buffers_set)
        prefix = f"{path}." if path else ""
        yield from _floats((prefix + name, value) for name, value in kept if value is not None)


def _floats(tensors: Iterable[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
    """This process's part of those tensors that have floating-point numbers."""
    for name, tensor in tensors:
        part = tensor.to_local() if is_sharded(tensor) else tensor  # pyright: ignore[reportAttributeAccessIssue]
        if part.is_floating_point() and part.numel() and part.layout == torch.strided:
            yield name, part.detach()
