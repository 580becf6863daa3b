"""Compose the config of train.py, also while Hydra is running."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, open_dict

from regtorch.app.config.instantiate import main_options

__all__ = ["composed"]


def composed(conf: Path, overrides: Sequence[str]) -> tuple[DictConfig, dict[str, str]]:
    """Compose `train` as train.py does: the config and the option of each group. `out_dir` needs an override."""
    # Hydra is a singleton: the running instance is replaced for a moment.
    running = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(conf.absolute()), "train", main_options().get("version_base")):
            cfg = compose("train", list(overrides), return_hydra_config=True)
    finally:
        GlobalHydra.instance().hydra = running
    choices = {str(group): option for group, option in cfg.hydra.runtime.choices.items()}
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg, choices
