"""What a config describes: the net, its rules, its data and its task, before any training."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from lightning.pytorch import LightningDataModule, seed_everything
from omegaconf import DictConfig, OmegaConf
from torch import nn

from regtorch.training.instantiate import instantiate
from regtorch.training.preflight import Preflight, preflight
from regtorch.training.rules import Rules, rules_of
from regtorch.training.settings import check_pair, check_settings

__all__ = ["SetUp", "set_up"]


@dataclass(frozen=True)
class SetUp:
    """What is to be trained.

    Attributes:
        net: the net, with its initial weights.
        rules: unbound penalties and constraints.
        data: the data module, set up for fitting.
        checked: what a first batch showed.
    """

    net: nn.Module
    rules: Rules
    data: LightningDataModule
    checked: Preflight


def set_up(cfg: DictConfig, choices: Mapping[str, str], data: LightningDataModule | None = None) -> SetUp:
    """Build what `cfg` describes, from its seed.

    Args:
        cfg: the composed config.
        choices: the option chosen of each config group.
        data: what `cfg.data` describes, where it is loaded already.

    Raises:
        RunError: something that the user can mend.
    """
    check_settings(cfg)
    check_pair(cfg, choices)
    if cfg.seed is not None:
        seed_everything(cfg.seed, workers=True, verbose=False)
    net: nn.Module = instantiate(cfg.model.net)
    if cfg.channels_last:
        net.to(memory_format=torch.channels_last)
    rules = rules_of(cfg, net, choices)
    if data is None:
        made = instantiate(cfg.data)
        made.prepare_data()
        made.setup("fit")
    else:
        made = data
    return SetUp(net, rules, made, preflight(net, made, OmegaConf.select(cfg, "model.input_shape")))
