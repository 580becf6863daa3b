"""Running statistics of batch norms that settle within the first epochs, where an epoch has few steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.utilities.seed import isolate_rng
from omegaconf import DictConfig
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DistributedSampler

from regtorch.app.data import ArraysDataModule
from regtorch.app.ground.errors import RunError
from regtorch.app.record.later_settings import LATER
from regtorch.counted import counted

__all__ = [
    "SETTLES",
    "SETTLE_ALL",
    "SettleBatchNorm",
    "Settling",
    "check_settling",
    "could_settle",
    "epoch_steps",
    "momentum_at",
    "settled",
    "settling_of",
]

_KEY = "settle_batch_norm"
SETTLE_ALL = f"{_KEY}=true"
SETTLES = "batch norm: running statistics settle faster"
"""The begin of a line in the receipt of a run whose batch norms do."""
_PACE = 4  # batch b of an epoch counts about b³ in the running statistics, as the net changes from batch to batch
_LAG = 3  # /momentum steps until statistics have forgotten all but exp(-3) = 5% of what they were


def momentum_at(own: float, batch: int) -> float:
    """max(own, 4 / (batch + 4)): the momentum in batch `batch` of an epoch, counted from 0, of a layer with `own`.

    While the second is larger, the running statistics are a mean of the epoch's batches j = 0, …, b, weighted in
    proportion to (j + 1)(j + 2)(j + 3).
    """
    return max(own, _PACE / (batch + _PACE))


@contextmanager
def settled(layers: Sequence[_BatchNorm], batch: int) -> Iterator[None]:
    """Let batch norms that have a momentum use that of a batch of an epoch, counted from 0."""
    before = [(layer, layer.momentum) for layer in layers]
    try:
        for layer, own in before:
            if own is not None:
                layer.momentum = momentum_at(own, batch)
        yield
    finally:
        for layer, own in before:
            layer.momentum = own


@dataclass(frozen=True)
class Settling:
    """What `settle_batch_norm` does in a training."""

    steps: float  # of an epoch: layers that need more settle faster; 0: all layers, infinite: none
    remark: str | None = None  # for the receipt

    def layers(self, net: nn.Module) -> list[_BatchNorm]:
        """The batch norms of a net that settle faster."""
        return [layer for layer in _following(net) if self.steps < _LAG / (layer.momentum or math.nan)]


class SettleBatchNorm(Callback):
    """Lets batch norms settle faster in the batches of a training; between two batches they have their own momentum.

    Args:
        settling: which ones.
    """

    def __init__(self, settling: Settling) -> None:
        self.settling = settling
        self._layers: list[_BatchNorm] = []
        self._batch = ExitStack()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the layers, which `trainer.sync_batchnorm` has replaced by others."""
        self._layers = self.settling.layers(pl_module)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self._batch.close()
        self._batch.enter_context(settled(self._layers, batch_idx))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._batch.close()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End a batch that another callback has left out."""
        self._batch.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._batch.close()


def check_settling(cfg: DictConfig, net: nn.Module) -> None:
    """Refuse `settle_batch_norm=true` where it cannot be done.

    Raises:
        RunError: it cannot.
    """
    if cfg.get(_KEY) is True and (hindrance := _hindrance(cfg, net)) is not None:
        raise RunError(f"{_KEY}=true: {hindrance}; omit it")


def settling_of(cfg: DictConfig, net: nn.Module, steps: Callable[[], float]) -> Settling:
    """Read `settle_batch_norm`; what it cannot do is a remark, for a sweep, whose jobs share settings.

    Args:
        cfg: the config.
        net: its net.
        steps: counts those of an epoch; called if it matters.
    """
    choice = cfg.get(_KEY, LATER[_KEY])
    if choice is False or (choice == "auto" and not _following(net)):
        return Settling(math.inf)
    count = steps()
    settling = Settling(0 if choice is True else count)
    if choice == "auto" and not settling.layers(net):
        return Settling(math.inf)
    if (hindrance := _hindrance(cfg, net)) is not None:
        return Settling(math.inf, f"{_KEY}={str(choice).lower()} has no effect: {hindrance}")
    few = "" if math.isinf(count) else f" in epochs of {counted(int(count), 'step')}"
    off = f"{_KEY}=false: at the layers' own momentum"
    return Settling(settling.steps, f"{SETTLES}{few} ({off})")


def could_settle(cfg: DictConfig, net: nn.Module, steps: Callable[[], float]) -> bool:
    """Whether more batch norms settle with `settle_batch_norm=true` than now; for the arguments see `settling_of`."""
    if cfg.get(_KEY, LATER[_KEY]) is True or _hindrance(cfg, net) is not None:
        return False
    return len(settling_of(cfg, net, steps).layers(net)) < len(_following(net))


def epoch_steps(trainer: Trainer, data: LightningDataModule) -> float:
    """The number of training batches of an epoch in each process, before the trainer fits; infinite if unknown."""
    if not isinstance(data, ArraysDataModule):
        data.trainer = trainer  # as when it fits; others may ask it
    with isolate_rng():
        loader: Any = data.train_dataloader()
    try:
        count = len(loader)
    except TypeError:
        count = math.inf
    if not isinstance(getattr(loader, "sampler", None), DistributedSampler):
        count = math.inf if count == math.inf else -(-count // trainer.world_size)
    limit = trainer.limit_train_batches
    if isinstance(limit, int):
        return min(count, limit)
    return count if count == math.inf else int(count * limit)


def _following(net: nn.Module) -> list[_BatchNorm]:
    """The batch norms whose running statistics follow a momentum: not those of a cumulative or a fixed average."""
    layers = [module for module in net.modules() if isinstance(module, _BatchNorm)]
    return [layer for layer in layers if layer.track_running_stats and layer.momentum]


def _hindrance(cfg: DictConfig, net: nn.Module) -> str | None:
    """Why `settle_batch_norm` cannot be done; None if it can."""
    if not _following(net):
        return f"{type(net).__name__} has no batch norm whose running statistics follow a momentum"
    if cfg.compile or any(_is_compiled(module) for module in net.modules()):
        return "each new momentum would compile the net again"
    return None


def _is_compiled(module: nn.Module) -> bool:
    """Whether torch.compile, which takes a momentum for a constant, has been called on a module."""
    return module._compiled_call_impl is not None or hasattr(module, "_orig_mod")
