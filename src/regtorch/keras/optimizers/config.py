"""Keras's optimizers by name or config."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from regtorch.checks import number, shown
from regtorch.keras.identifiers import identify
from regtorch.keras.optimizers.adafactor import Adafactor
from regtorch.keras.optimizers.adagrad import Adadelta, Adagrad
from regtorch.keras.optimizers.adam import Adam, AdamW
from regtorch.keras.optimizers.ftrl import Ftrl
from regtorch.keras.optimizers.keras_optimizer import KerasOptimizer, Parameters
from regtorch.keras.optimizers.lamb import Lamb
from regtorch.keras.optimizers.lion import Lion
from regtorch.keras.optimizers.muon import Muon
from regtorch.keras.optimizers.nadam import Adamax, Nadam
from regtorch.keras.optimizers.rmsprop import RMSprop
from regtorch.keras.optimizers.schedules import decayed, is_schedule, learning_rate_schedule
from regtorch.keras.optimizers.sgd import SGD
from regtorch.keras.read import parsed

__all__ = ["optimizer"]

# For each Keras class: our class, and {Keras's argument: our argument}.
_SHARED = {"learning_rate": "lr"} | {
    name: name
    for name in (
        *("weight_decay", "clipnorm", "clipvalue", "global_clipnorm", "use_ema", "ema_momentum"),
        *("ema_overwrite_frequency", "gradient_accumulation_steps", "loss_scale_factor"),
    )
}
_MOMENTS = {"beta_1": "beta_1", "beta_2": "beta_2", "epsilon": "eps"}
_START = {"initial_accumulator_value": "initial_accumulator_value"}
_OPTIMIZERS: Mapping[str, tuple[Callable[..., KerasOptimizer], dict[str, str]]] = {
    "SGD": (SGD, {"momentum": "momentum", "nesterov": "nesterov"}),
    "Adam": (Adam, _MOMENTS | {"amsgrad": "amsgrad"}),
    "AdamW": (AdamW, _MOMENTS | {"amsgrad": "amsgrad"}),
    "RMSprop": (RMSprop, {"rho": "alpha", "momentum": "momentum", "epsilon": "eps", "centered": "centered"}),
    "Adagrad": (Adagrad, _START | {"epsilon": "eps"}),
    "Adadelta": (Adadelta, {"rho": "rho", "epsilon": "eps"}),
    "Nadam": (Nadam, _MOMENTS),
    "Adamax": (Adamax, _MOMENTS),
    "Lion": (Lion, {"beta_1": "beta_1", "beta_2": "beta_2"}),
    "Lamb": (Lamb, _MOMENTS),
    "Ftrl": (
        Ftrl,
        _START
        | {"learning_rate_power": "learning_rate_power", "beta": "beta"}
        | {f"{name}_regularization_strength": name for name in ("l1", "l2", "l2_shrinkage")},
    ),
    "Adafactor": (
        Adafactor,
        {"beta_2_decay": "beta_2_decay", "epsilon_1": "eps1", "epsilon_2": "eps2", "clip_threshold": "clip_threshold"}
        | {"relative_step": "relative_step"},
    ),
    "Muon": (
        Muon,
        {"adam_beta_1": "beta_1", "adam_beta_2": "beta_2", "epsilon": "eps", "rms_rate": "rms_rate"}
        | {f"muon_{name}": f"muon_{name}" for name in "abc"}
        | {
            name: name
            for name in (
                *("adam_weight_decay", "exclude_layers", "exclude_embeddings", "adam_lr_ratio", "momentum"),
                *("ns_steps", "nesterov"),
            )
        },
    ),
}
_KNOWN: Mapping[str, object] = {**_OPTIMIZERS, "LossScaleOptimizer": None}

_UNUSED = {"name", "is_legacy_optimizer", "jit_compile"}  # without effect on the numbers
_MAY_BE_NULL = {
    *("epsilon", "clipnorm", "clipvalue", "global_clipnorm", "ema_overwrite_frequency", "loss_scale_factor"),
    *("gradient_accumulation_steps", "rms_rate", "adam_weight_decay", "exclude_layers"),
}


def optimizer(identifier: Any, params: Parameters) -> KerasOptimizer:
    """The optimizer that Keras means by an identifier, over torch parameters.

    Taken over are the settings of every optimizer (clipping, running means of weights, gradient accumulation, weight
    decay, loss scale), learning rate schedules, and those of Keras 2: `decay`, and the formulas of `optimizers.legacy`.
    A LossScaleOptimizer becomes its inner optimizer with `loss_scale_factor` and `dynamic_growth_steps`.

    Args:
        identifier: a name ("adam", "RMSprop", …), a config or its JSON, as `optimizer.get_config()` or the
            `compile_config` of a `.keras` file's `config.json` has it, or a Keras optimizer.
        params: the net, parameters, or groups of them. A net gives its weights Keras's names, which Muon and
            `exclude_from_weight_decay` use.

    Raises:
        ValueError: the optimizer, its schedule or a setting is unknown, or a setting is out of range.
        TypeError: it is nothing of the above.

    Example:
        >>> import torch, regtorch as rt
        >>> net = torch.nn.Linear(2, 1)
        >>> config = {"class_name": "Adam", "config": {"learning_rate": 0.01, "beta_1": 0.8, "clipnorm": 1.0}}
        >>> rt.keras.optimizer(config, net).defaults["betas"]
        (0.8, 0.999)
    """
    if isinstance(identifier, str) and identifier.lstrip().startswith("{"):
        identifier = parsed("optimizer", identifier, "give a name, or what optimizer.get_config() gives")
    if isinstance(identifier, Mapping) and "class_name" not in identifier:  # get_config()
        identifier = {"class_name": _class_name(identifier.get("name")), "config": identifier}
    name, config = identify("optimizer", identifier, _KNOWN)
    if name == "LossScaleOptimizer":
        return _scaled(config, params)
    make, own = _OPTIMIZERS[name]
    return make(params, **_arguments(name, config, _SHARED | own, _is_legacy(identifier, config)))


def _arguments(name: str, config: dict[str, Any], arguments: dict[str, str], legacy: bool) -> dict[str, Any]:
    """Our arguments for a config.

    Raises:
        ValueError: a setting is unknown or missing.
    """
    given = {k: v for k, v in config.items() if k not in _UNUSED and not (v is None and k in _MAY_BE_NULL)}
    decay = given.pop("decay", None)
    if given.get("weight_decay", 0) is None and name != "AdamW":
        del given["weight_decay"]
    missing = sorted(k for k in given.keys() & arguments if given[k] is None)
    if missing:
        raise ValueError(f"optimizer: {name}'s {', '.join(missing)} must be given, received null")
    refused = sorted(k for k in given.keys() - arguments if given[k] is not None and given[k] != 0)
    if refused:
        settings = ", ".join(f"{k}={shown(given[k])}" for k in refused)
        raise ValueError(f"optimizer: {name} with {settings} is not supported; supported are {', '.join(arguments)}")
    ours = {arguments[k]: v for k, v in given.items() if k in arguments}
    if is_schedule(ours.get("lr")):
        ours["lr"] = learning_rate_schedule(ours["lr"])
    if decay is not None:
        lr: Any = ours.get("lr", 0.01 if name == "SGD" else 0.001)
        ours["lr"] = decayed(lr, decay)
    if {"beta_1", "beta_2"} & ours.keys():
        ours["betas"] = (ours.pop("beta_1", 0.9), ours.pop("beta_2", 0.99 if name == "Lion" else 0.999))
    if any(f"muon_{letter}" in ours for letter in "abc"):
        usual = {"a": 3.4445, "b": -4.7750, "c": 2.0315}
        ours["coefficients"] = tuple(ours.pop(f"muon_{letter}", value) for letter, value in usual.items())
    for key in ("rms_rate", "adam_weight_decay"):
        if config.get(key, 0) is None:
            ours[key] = None
    frequency = ours.get("ema_overwrite_frequency")
    if isinstance(frequency, float) and frequency.is_integer():  # Keras 2.14's JSON has 100.0
        ours["ema_overwrite_frequency"] = int(frequency)
    if "is_legacy_optimizer" in config:  # Keras 2
        ours["ema_from_start"] = True
    if legacy and name in ("Adagrad", "RMSprop"):
        ours["legacy"] = True
    return ours


def _is_legacy(identifier: Any, config: Mapping[str, Any]) -> bool:
    """Whether the optimizer is one of before Keras 2.11, or of `optimizers.legacy`."""
    module = identifier.get("module") if isinstance(identifier, Mapping) else type(identifier).__module__
    return "legacy" in str(module) or "decay" in config or config.get("is_legacy_optimizer") is True


def _scaled(config: dict[str, Any], params: Parameters) -> KerasOptimizer:
    """The inner optimizer of a LossScaleOptimizer."""
    inner = config.get("inner_optimizer")
    if inner is None or config.get("dynamic", True) is not True:
        raise ValueError(
            "optimizer: a LossScaleOptimizer needs an inner_optimizer and a dynamic scale, received "
            f"{shown(config)}; set loss_scale_factor on the inner optimizer for a fixed one"
        )
    name, inner_config = identify("optimizer", inner, _OPTIMIZERS)
    scale = number("optimizer", "initial_scale", config.get("initial_scale", 2.0**15), low=0, above=True)
    inner_config |= {"loss_scale_factor": scale}
    make, own = _OPTIMIZERS[name]
    ours = _arguments(name, inner_config, _SHARED | own, _is_legacy(inner, inner_config))
    return make(params, **ours, dynamic_growth_steps=config.get("dynamic_growth_steps", 2000))


def _class_name(name: Any) -> str:
    """The class name in an optimizer's name, which Keras may number: Adam_1."""
    text = str(name)
    head, _, tail = text.rpartition("_")
    return head if tail.isdigit() else text
