"""Build what a config describes: net, rules, data and task."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from lightning.pytorch import LightningDataModule, seed_everything
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from torch.optim import Optimizer

from regtorch.app.config.check_settings import check_settings
from regtorch.app.config.instantiate import instantiate
from regtorch.app.config.objects import make, named
from regtorch.app.ground.errors import RunError
from regtorch.app.run.preflight import Preflight, preflight
from regtorch.app.run.rules import Rules, rules_of
from regtorch.lightning.tasks import smoothed

__all__ = ["SetUp", "set_up"]


@dataclass(frozen=True)
class SetUp:
    """Everything that a training needs."""

    net: nn.Module  # with its initial weights
    rules: Rules  # unbound
    data: LightningDataModule  # set up for fitting
    checked: Preflight
    train_loss: Callable[[Tensor, Tensor], Tensor]  # the task's loss, with label smoothing if configured


def set_up(
    cfg: DictConfig, choices: Mapping[str, str], data: LightningDataModule | None = None, *, sweep: bool = False
) -> SetUp:
    """Build what `cfg` describes, from its seed; `data` replaces loading `cfg.data`."""
    check_settings(cfg, choices)
    if cfg.seed is not None:
        seed_everything(cfg.seed, workers=True, verbose=False)
    net: nn.Module = make(cfg.model.net, "model.net", nn.Module)
    if cfg.channels_last:
        net.to(memory_format=torch.channels_last)
    _check_optimizer(cfg, net)
    rules = rules_of(cfg, net, choices, sweep=sweep)
    loaded = _load(cfg) if data is None else data
    checked = preflight(net, loaded, OmegaConf.select(cfg, "model.input_shape"))
    with named("reg", cfg.reg):
        train_loss = smoothed(checked.task, rules.label_smoothing)
    return SetUp(net, rules, loaded, checked, train_loss)


def _check_optimizer(cfg: DictConfig, net: nn.Module) -> None:
    """Build the optimizer once, before data are loaded."""
    with named("optimizer", cfg.optimizer):
        optimizer = instantiate(cfg.optimizer)(net.parameters())
    if not isinstance(optimizer, Optimizer):
        raise RunError(f"optimizer: expected an optimizer, received {optimizer!r}; choose another optimizer._target_")


def _load(cfg: DictConfig) -> LightningDataModule:
    data: LightningDataModule = make(cfg.data, "data", LightningDataModule)
    with named("data", cfg.data):
        data.prepare_data()
        data.setup("fit")
    return data
