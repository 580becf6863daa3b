"""Build what a config describes: net, rules, data and task."""

import warnings
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from lightning.pytorch import LightningDataModule, seed_everything
from lightning.pytorch.utilities.seed import isolate_rng
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from torch.optim import Optimizer

from regtorch.app.config.check_settings import check_settings
from regtorch.app.config.instantiate import instantiate
from regtorch.app.config.objects import make, named
from regtorch.app.ground.errors import RunError
from regtorch.app.run.devices import check_devices
from regtorch.app.run.preflight import Preflight, check_width, preflight
from regtorch.app.run.rules import Rules, rules_of
from regtorch.app.run.settling import check_settling
from regtorch.lightning.tasks import smoothed
from regtorch.penalties import Penalty

__all__ = ["SetUp", "build", "set_up"]


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
    net, rules = build(cfg, choices, sweep=sweep)
    loaded = _load(cfg) if data is None else data
    checked = preflight(net, loaded, OmegaConf.select(cfg, "model.input_shape"))
    with named("reg", cfg.reg):
        train_loss = smoothed(checked.task, rules.label_smoothing)
    return SetUp(net, rules, loaded, checked, train_loss)


def build(cfg: DictConfig, choices: Mapping[str, str], *, sweep: bool = False) -> tuple[nn.Module, Rules]:
    """Build the net from its seed, and its rules; refuses all that can be refused without the data."""
    check_settings(cfg, choices)
    check_devices(cfg.trainer)
    if cfg.seed is not None:
        seed_everything(cfg.seed, workers=True, verbose=False)
    net: nn.Module = make(cfg.model.net, "model.net", nn.Module)
    if cfg.channels_last:
        net.to(memory_format=torch.channels_last)
    if not any(parameter.requires_grad for parameter in net.parameters()):
        raise RunError(f"model.net: {type(net).__name__} has no weight to train; choose another model.net._target_")
    if not sweep:
        check_settling(cfg, net)
    with isolate_rng():
        optimizer = _optimizer(cfg, net)
    rules = rules_of(cfg, net, choices, sweep=sweep)
    with isolate_rng():
        _rehearse(net, rules, optimizer, cfg)
        check_width(net, OmegaConf.select(cfg, "model.input_shape"), cfg.data.get("num_classes"))
    return net, rules


def _rehearse(net: nn.Module, rules: Rules, optimizer: Optimizer, cfg: DictConfig) -> None:
    """Attach the rules to an optimizer that takes no step, and detach them."""
    with warnings.catch_warnings(), ExitStack() as attached:
        warnings.simplefilter("ignore")  # they come when the training begins
        for penalty in (rule for rule in rules.penalties if isinstance(rule, Penalty)):
            with named("reg.proximal" if rules.proximal else "reg.penalty", cfg.reg):
                attached.callback(penalty.on(net).attach(optimizer, proximal=rules.proximal).remove)
        for constraint in rules.constraints:
            with named("constraint", cfg.constraint):
                attached.callback(constraint.on(net).attach(optimizer).remove)


def _optimizer(cfg: DictConfig, net: nn.Module) -> Optimizer:
    with named("optimizer", cfg.optimizer):
        optimizer = instantiate(cfg.optimizer)(net.parameters())
    if not isinstance(optimizer, Optimizer):
        raise RunError(f"optimizer: expected an optimizer, received {optimizer!r}; choose another optimizer._target_")
    return optimizer


def _load(cfg: DictConfig) -> LightningDataModule:
    data: LightningDataModule = make(cfg.data, "data", LightningDataModule)
    with named("data", cfg.data):
        data.prepare_data()
        data.setup("fit")
    return data
