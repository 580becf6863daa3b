"""The callback that watches a trainer's training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from regtorch.checks import integer, share
from regtorch.doctor.along import Watching, watch
from regtorch.doctor.finding import Finding

__all__ = ["Doctor"]


class Doctor(Callback):
    """Watches a training as `rt.watch` does, with automatic or manual optimization, and says when something turns bad.

    Put it behind `Regularize`, if there is one. With several processes each watches its own share of the batches, and
    process 0 speaks.

    Args:
        every: look at every so-manieth step; None looks as often as the budget allows.
        budget: the share of the training's time that looks may cost, which they measure themselves.
        on_finding: called with each finding instead of a `DoctorWarning`, in process 0.

    Attributes:
        findings: those of the last fit, most important first; "step" in their numbers is the optimizer's.

    Raises:
        TypeError: an argument has the wrong type; at the start of a fit, an optimizer runs no step hooks.
        ValueError: a number is out of range.

    Example:
        >>> import lightning, regtorch as rt
        >>> from regtorch.lightning import Doctor
        >>> trainer = lightning.Trainer(callbacks=[Doctor(budget=0.01)])  # doctest: +SKIP
        >>> Doctor().findings
        []
    """

    def __init__(
        self, *, every: int | None = None, budget: float = 0.02, on_finding: Callable[[Finding], object] | None = None
    ) -> None:
        self.every = None if every is None else integer("Doctor", "every", every)
        self.budget = share("Doctor", "budget", budget)
        if on_finding is not None and not callable(on_finding):
            raise TypeError(f"Doctor: on_finding must be a function of a finding, received {on_finding!r}")
        self.on_finding = on_finding
        self._watching: Watching | None = None

    @property
    def findings(self) -> list[Finding]:
        return [] if self._watching is None else self._watching.findings

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        silent = None if trainer.is_global_zero else _keep_silent
        self._watching = watch(
            pl_module,
            trainer.optimizers,
            scaler=getattr(trainer.precision_plugin, "scaler", None),
            every=self.every,
            budget=self.budget,
            on_finding=silent or self.on_finding,
        )
        self._watching.count_batches_by_tell()  # Lightning need not call the module as a whole

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._watching is not None:
            loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
            self._watching.tell(loss if isinstance(loss, Tensor) else None)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._remove()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._remove()

    def _remove(self) -> None:
        if self._watching is not None:
            self._watching.remove()


def _keep_silent(_: Finding) -> None:
    """Another process speaks."""
