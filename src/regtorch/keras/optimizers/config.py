"""Keras's optimizers by name or config."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from regtorch.checks import shown
from regtorch.keras.identifiers import identify
from regtorch.keras.optimizers.adagrad import Adadelta, Adagrad
from regtorch.keras.optimizers.adam import Adam, AdamW
from regtorch.keras.optimizers.keras_optimizer import KerasOptimizer, Parameters
from regtorch.keras.optimizers.nadam import Adamax, Nadam
from regtorch.keras.optimizers.rmsprop import RMSprop
from regtorch.keras.optimizers.sgd import SGD
from regtorch.keras.read import parsed

__all__ = ["optimizer"]

# For each Keras class: our class, and {Keras's argument: our argument}.
_LR = {"learning_rate": "lr"}
_MOMENTS = _LR | {"beta_1": "beta_1", "beta_2": "beta_2", "epsilon": "eps"}
_OPTIMIZERS: Mapping[str, tuple[Callable[..., KerasOptimizer], dict[str, str]]] = {
    "SGD": (SGD, _LR | {"momentum": "momentum", "nesterov": "nesterov"}),
    "Adam": (Adam, _MOMENTS | {"amsgrad": "amsgrad"}),
    "AdamW": (AdamW, _MOMENTS | {"amsgrad": "amsgrad", "weight_decay": "weight_decay"}),
    "RMSprop": (
        RMSprop,
        _LR | {"rho": "alpha", "momentum": "momentum", "epsilon": "eps", "centered": "centered"},
    ),
    "Adagrad": (Adagrad, _LR | {"initial_accumulator_value": "initial_accumulator_value", "epsilon": "eps"}),
    "Adadelta": (Adadelta, _LR | {"rho": "rho", "epsilon": "eps"}),
    "Nadam": (Nadam, _MOMENTS),
    "Adamax": (Adamax, _MOMENTS),
}

# Settings without effect unless another one is on.
_UNUSED = {
    "name",
    "ema_momentum",
    "ema_overwrite_frequency",
    "is_legacy_optimizer",
    "jit_compile",
    "loss_scale_factor",
}


def optimizer(identifier: Any, params: Parameters) -> KerasOptimizer:
    """The optimizer that Keras means by an identifier, over torch parameters.

    Args:
        identifier: a name ("adam", "RMSprop", …), a config or its JSON, as `optimizer.get_config()` or the
            `compile_config` of a `.keras` file's `config.json` has it, or a Keras optimizer.
        params: parameters or groups of them.

    Raises:
        ValueError: the optimizer is unknown, or an unsupported setting is on: clipping, moving averages of weights,
            learning rate schedules, decoupled `weight_decay` outside AdamW.
        TypeError: it is nothing of the above.

    Example:
        >>> import torch, regtorch as rt
        >>> net = torch.nn.Linear(2, 1)
        >>> config = {"class_name": "Adam", "config": {"learning_rate": 0.01, "beta_1": 0.8}}
        >>> rt.keras.optimizer(config, net.parameters()).defaults["betas"]
        (0.8, 0.999)
    """
    if isinstance(identifier, str) and identifier.lstrip().startswith("{"):
        identifier = parsed("optimizer", identifier, "give a name, or what optimizer.get_config() gives")
    if isinstance(identifier, Mapping) and "class_name" not in identifier:  # get_config()
        identifier = {"class_name": _class_name(identifier.get("name")), "config": identifier}
    name, config = identify("optimizer", identifier, _OPTIMIZERS)
    make, arguments = _OPTIMIZERS[name]
    given = {k: v for k, v in config.items() if k not in _UNUSED and not (v is None and k == "epsilon")}
    missing = sorted(k for k in given.keys() & arguments if given[k] is None)
    if missing:
        raise ValueError(f"optimizer: {name}'s {', '.join(missing)} must be given, received null")
    refused = sorted(k for k in given.keys() - arguments if given[k] is not None and given[k] != 0)
    if refused:
        settings = ", ".join(f"{k}={shown(given[k])}" for k in refused)
        raise ValueError(
            f"optimizer: {name} with {settings} is not supported; supported are {', '.join(arguments)}. Clip with "
            "torch.nn.utils.clip_grad_norm_, average with torch.optim.swa_utils, lower the learning rate (decay=) with "
            "torch.optim.lr_scheduler.LambdaLR"
        )
    if isinstance(given.get("learning_rate"), Mapping):
        raise ValueError(f"optimizer: {name}'s learning rate schedule is not supported; use torch.optim.lr_scheduler")
    module = identifier.get("module") if isinstance(identifier, Mapping) else type(identifier).__module__
    legacy = "legacy" in str(module) or "decay" in config or config.get("is_legacy_optimizer") is True
    if legacy and (name == "Adagrad" or (name == "RMSprop" and not config.get("momentum"))):
        raise ValueError(
            f"optimizer: Keras's legacy {name}, which adds epsilon outside the root, is not supported; use "
            f'optimizer("{name}", …), the version from Keras 2.11 on, and set its arguments'
        )
    ours = {arguments[k]: v for k, v in given.items() if k in arguments}
    if {"beta_1", "beta_2"} & ours.keys():
        ours["betas"] = (ours.pop("beta_1", 0.9), ours.pop("beta_2", 0.999))
    return make(params, **ours)


def _class_name(name: Any) -> str:
    """The class name in an optimizer's name, which Keras may number: Adam_1."""
    text = str(name)
    head, _, tail = text.rpartition("_")
    return head if tail.isdigit() else text
