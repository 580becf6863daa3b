"""Settings without effect, noted in the receipt because other jobs of a sweep may use them."""

from collections.abc import Mapping

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from regtorch.app.config.command_line import task_overrides

__all__ = ["acts_on_outputs", "is_given", "unread"]


def unread(cfg: DictConfig, choices: Mapping[str, str]) -> list[str]:
    """Remarks on settings that the rules do not use, and on callbacks and loggers without a class."""
    keys = _keys()
    used = OmegaConf.to_yaml(cfg.constraint)  # interpolations are not resolved
    idle = [key for key in keys if key.startswith("constraint.") and f"${{{key}}}" not in used]
    remarks = [f"constraint={choices.get('constraint')} does not use {key}" for key in idle]
    if "reg.select" in keys and acts_on_outputs(cfg):
        remarks.append(f"reg={choices.get('reg')} acts on outputs and does not use reg.select")
    for group in ("callbacks", "logger"):
        for name, node in cfg[group].items():
            if node is not None and "_target_" not in node:
                remarks.append(f"{group}.{name} has no class (_target_) and no effect")
    return remarks


def acts_on_outputs(cfg: DictConfig) -> bool:
    """Whether a config's penalty selects no weights."""
    return cfg.reg.penalty is not None and "${reg.select}" not in OmegaConf.to_yaml(cfg.reg)


def is_given(key: str) -> bool:
    """Whether the command line sets a key."""
    return key in _keys()


def _keys() -> list[str]:
    overrides = task_overrides() if HydraConfig.initialized() else []
    return [override.lstrip("+").partition("=")[0] for override in overrides]
