"""Hydra's `instantiate` with checked targets, and the differences between Hydra's versions."""

import inspect
from typing import Any

import hydra
import hydra.utils
from omegaconf import DictConfig, ListConfig, OmegaConf

__all__ = ["instantiate", "main_options"]

# Hydra 1.4 and later only call listed targets.
_TRUSTED = ["regtorch.*", "torch.*", "torchvision.*", "torchmetrics.*", "lightning.*"]


def main_options() -> dict[str, Any]:
    """The arguments of `hydra.main` that depend on its version."""
    if "execution_whitelist" in inspect.signature(hydra.main).parameters:
        return {"execution_whitelist": [*_TRUSTED, "hydra.*", "hydra_plugins.*"]}
    return {"version_base": "1.3"}


def instantiate(config: Any, **arguments: Any) -> Any:
    """Build the object of a config, with plain lists and dicts as arguments.

    An omegaconf list in an optimizer's arguments would enter its state and make checkpoints unloadable.
    """
    from regtorch.app.config.targets import check_targets  # here, not above: --help needs none of it

    known = isinstance(config, DictConfig | ListConfig)
    plain = OmegaConf.to_container(config, resolve=True) if known else config
    targets = check_targets(plain, config._get_full_key(None) if known else "")
    options: dict[str, Any] = {}
    if "_execution_whitelist_" in inspect.signature(hydra.utils.instantiate).parameters:
        options["_execution_whitelist_"] = [*_TRUSTED, *targets]
    return hydra.utils.instantiate(config, _convert_="all", **options, **arguments)
