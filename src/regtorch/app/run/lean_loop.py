"""Lightning's loop over an epoch's batches, without the calls that do nothing in a run of this program."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop
from lightning.pytorch.plugins.precision import Precision
from lightning.pytorch.strategies import SingleDeviceStrategy
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor

from regtorch.app.data.batches import Batches
from regtorch.app.ground.errors import Diverged
from regtorch.app.ground.lines import tell
from regtorch.app.run.culprit import ADVICE
from regtorch.app.run.diverged import StopWhenDiverged
from regtorch.app.run.empty_hooks import HOOKS, NoProfiler, leave_out_empty_hooks
from regtorch.lightning.module import RegularizedModule
from regtorch.lightning.regularize import Regularize, log_step
from regtorch.steps.compiled_step import CompiledStep, can_compile_step, compile_step

__all__ = ["LeanLoop", "log_again", "step_values", "use_lean_loop"]


def use_lean_loop(trainer: Trainer, *, compiled: bool = False) -> None:
    """Give a trainer that has not begun the loop below."""
    fit = trainer.fit_loop
    before = fit.epoch_loop
    fit.epoch_loop = LeanLoop(trainer, before.min_steps, before.max_steps, compiled=compiled)


def step_values(trainer: Trainer) -> dict[str, Any]:
    """What the next line of the logs about steps has."""
    loop = trainer.fit_loop.epoch_loop
    return {**trainer._logger_connector.metrics["log"], **(loop.values if isinstance(loop, LeanLoop) else {})}


def log_again(trainer: Trainer, module: LightningModule, values: Mapping[str, Tensor]) -> None:
    """Let the steps that follow begin with the values that were logged before a training was interrupted."""
    loop = trainer.fit_loop.epoch_loop
    (loop.log_step if isinstance(loop, LeanLoop) else log_step)(module, values)


def is_plain(trainer: Any, module: LightningModule) -> bool:
    """Whether a step needs nothing but the net, one optimizer and the callbacks."""
    return (
        type(module) is RegularizedModule
        and all(getattr(RegularizedModule, name) is getattr(LightningModule, name) for name in HOOKS)
        and type(trainer.strategy) is SingleDeviceStrategy
        and type(trainer.precision_plugin) is Precision
        and type(trainer.profiler) is NoProfiler
        and isinstance(trainer.train_dataloader, Batches)
        and len(trainer.optimizers) == 1
        and not trainer.lr_scheduler_configs
        and trainer.accumulate_grad_batches == 1
        and not trainer.gradient_clip_val
        and not trainer._detect_anomaly
    )


class LeanLoop(_TrainingEpochLoop):
    """Takes the steps of Lightning's loop, in its order and with its hooks; all others are Lightning's own.

    Args:
        trainer: the trainer.
        min_steps: as Lightning's.
        max_steps: as Lightning's.
        compiled: compile whole steps, or at least the net.

    Attributes:
        values: what the last step that logged something about itself has logged.
    """

    def __init__(self, trainer: Trainer, min_steps: int | None, max_steps: int, *, compiled: bool) -> None:
        super().__init__(trainer, min_steps=min_steps, max_steps=max_steps)
        self._plain, self._compiled = False, compiled
        self._whole: CompiledStep | None = None
        self._before_validation = 0.0  # batches of an epoch
        self.values: dict[str, Tensor] = {}

    def on_run_start(self, data_fetcher: Any) -> None:
        super().on_run_start(data_fetcher)
        trainer: Any = self.trainer  # Lightning does not declare all that it has
        module: Any = trainer.lightning_module
        leave_out_empty_hooks(trainer, module)
        self._plain = is_plain(trainer, module)
        self.values = {}
        by_batches = trainer._val_check_time_interval is None and trainer.check_val_every_n_epoch is not None
        every = trainer.val_check_batch
        self._before_validation = every if by_batches and every is not None and every != float("inf") else 0
        callbacks: list[Callback] = trainer.callbacks
        self._hooks = {n: [hook for c in callbacks if callable(hook := getattr(c, n))] for n in HOOKS}
        for regularize in (c for c in callbacks if isinstance(c, Regularize)):
            regularize.log_step = self.log_step
        if self._compiled and self._whole is None:
            self._compile(module)

    def _compile(self, module: Any) -> None:
        """Compile whole steps, or the net alone where more happens in a step."""
        optimizer = self.trainer.optimizers[0]
        between = [hook for name in HOOKS[1:-1] for hook in self._hooks[name]]
        why_not = (
            (self.trainer.strategy.root_device.type != "cpu" and "whole steps are compiled on CPUs")
            or (not self._plain and "more happens in a step than forward, backward and the optimizer's update")
            or (module.penalises_outputs and "a penalty depends on the net's outputs")
            or (not all(map(_only_checks, between)) and "a callback acts on gradients")
            or (not can_compile_step(optimizer) and f"{type(optimizer).__name__} is not among those of rt.compile_step")
        )
        if why_not:
            if module.net._compiled_call_impl is None:
                tell(f"compile=true: the net alone is compiled, as {why_not}")
                module.net.compile()
        else:
            self._whole = compile_step(module.net, module.train_loss, optimizer)

    def advance(self, data_fetcher: Any) -> None:
        if not self._plain or (self.restarting and self._should_check_val_fx(data_fetcher)):
            super().advance(data_fetcher)
            return
        self.val_loop.restarting = False
        trainer: Any = self.trainer
        progress, connector = self.batch_progress, trainer._logger_connector
        batch, _, _ = next(data_fetcher)
        number = self.batch_idx + 1
        progress.is_last_batch = data_fetcher.done
        data = trainer.datamodule
        batch = data.on_after_batch_transfer(data.transfer_batch_to_device(batch, trainer.strategy.root_device, 0), 0)
        progress.increment_ready()
        connector.on_batch_start(batch)
        self._call("on_train_batch_start", batch, number)
        progress.increment_started()
        outputs = self._step(batch, number)
        progress.increment_processed()
        self._call("on_train_batch_end", outputs, batch, number)
        if any(not metric.has_reset for metric in self._results.values()):  # a callback has logged through Lightning
            connector.on_batch_end()
            connector._callback_metrics.update(self.values)
        self._results.batch = self._results.batch_size = None
        progress.increment_completed()
        if connector.should_update_logs:
            connector.log_metrics(step_values(trainer))

    def on_advance_end(self, data_fetcher: Any) -> None:
        special = self._skip_next_val or self.trainer.should_stop
        if not self._plain or special or self._should_check_val_fx(data_fetcher):
            super().on_advance_end(data_fetcher)
            return
        self._batches_that_stepped += 1
        if not self._is_training_done and self.trainer.received_sigterm:
            raise SIGTERMException

    def _should_check_val_fx(self, data_fetcher: Any) -> bool:
        early = self.batch_progress.current.ready < self._before_validation and not self.trainer.should_stop
        return False if early else super()._should_check_val_fx(data_fetcher)

    def log_step(self, module: LightningModule, values: Mapping[str, Tensor]) -> None:
        """Keep what a step logs, which takes Lightning's `log` as long as the step itself."""
        if not self._plain:
            log_step(module, values)
            return
        self.values = {name: value.detach() for name, value in values.items()}
        self.trainer._logger_connector._callback_metrics.update(self.values)

    def _call(self, name: str, *arguments: Any) -> None:
        hooks = self._hooks[name]
        if not hooks:
            return
        trainer = self.trainer
        module = trainer.lightning_module
        now = vars(module)  # a LightningModule's own attribute, set without nn.Module's search for parameters
        before, now["_current_fx_name"] = now["_current_fx_name"], name
        for hook in hooks:
            hook(trainer, module, *arguments)
        now["_current_fx_name"] = before

    def _step(self, batch: Any, number: int) -> dict[str, Any]:
        """Forward, backward and the optimizer's step; what Lightning's callbacks get of it."""
        if self._whole is not None and not self._whole.why_not:
            return self._compiled_step(self._whole, batch)
        trainer, counts = self.trainer, self.automatic_optimization.optim_progress.optimizer
        module = trainer.lightning_module
        optimizer: Any = trainer.optimizers[0]
        outputs: dict[str, Any] = {}

        @torch.enable_grad()
        def closure() -> Tensor:
            result: Any = module.training_step(batch, number)
            extra = {} if isinstance(result, Tensor) else {k: v for k, v in result.items() if k != "loss"}
            loss = result if isinstance(result, Tensor) else result["loss"]
            outputs.update(loss=loss.detach(), **extra)
            counts.zero_grad.increment_ready()
            self._call("on_before_zero_grad", optimizer)
            counts.zero_grad.increment_started()
            optimizer.zero_grad()
            counts.zero_grad.increment_completed()
            self._call("on_before_backward", loss)
            loss.backward()
            self._call("on_after_backward")
            self._call("on_before_optimizer_step", optimizer)
            return outputs["loss"]

        counts.step.increment_ready()
        optimizer.step(closure)
        counts.step.increment_completed()
        return outputs

    def _compiled_step(self, whole: CompiledStep, batch: Any) -> dict[str, Any]:
        counts, module = self.automatic_optimization.optim_progress.optimizer, self.trainer.lightning_module
        counts.step.increment_ready()
        loss, predicted = whole(*batch)
        counts.zero_grad.increment_ready()
        counts.zero_grad.increment_started()
        counts.zero_grad.increment_completed()
        counts.step.increment_completed()
        assert isinstance(module, RegularizedModule)
        module.took(predicted, batch[1])
        if not math.isfinite(value := loss.item()):
            when = f"epoch {self.trainer.current_epoch + 1}, step {self.batch_idx + 1}"
            raise Diverged(f"train/loss became {value} in {when}: {ADVICE}; compile=false names the term")
        if whole.why_not:
            module.net.compile()
        return {"loss": loss}


def _only_checks(hook: Any) -> bool:
    return isinstance(getattr(hook, "__self__", None), StopWhenDiverged)
