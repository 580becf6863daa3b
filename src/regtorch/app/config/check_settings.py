"""Validation of a config before anything is loaded or trained."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from regtorch.app.config.contradictions import check_callbacks, check_contradictions
from regtorch.app.config.kinds import OBJECT, REMOVED, shown
from regtorch.app.config.known import GROUPS, OPTIONAL, SETTINGS
from regtorch.app.config.schedule_text import read_schedule
from regtorch.app.config.targets import check_call, check_targets
from regtorch.app.config.unknown_keys import check_keys
from regtorch.app.ground.errors import RunError, unresolved
from regtorch.extras import not_installed

__all__ = ["check_settings"]

# Optional packages: the class in the config that needs it, and its name for users.
_NEEDS = {
    "rich": ("", "training"),
    "matplotlib": ("HistoryPicture", "callbacks=default"),
    "tensorboard": ("TensorBoardLogger", "logger=tensorboard"),
    "mlflow": ("MLFlowLogger", "logger=mlflow"),
    "wandb": ("WandbLogger", "logger=wandb"),
}


def check_settings(cfg: DictConfig, choices: Mapping[str, str]) -> None:
    """Refuse invalid settings, and packages whose absence would only show after training."""
    _check_all_there(OmegaConf.to_container(cfg))
    check_keys(cfg, choices)
    plain = _plain(cfg)
    for key, kind in SETTINGS.items():
        if (value := _value(plain, key)) is not REMOVED:
            kind.check(key, value)
    read_schedule("reg.schedule", _value(plain, "reg.schedule"))
    _check_object("data", plain["data"])
    _check_pair(plain, choices)
    _check_object("model.net", _value(plain, "model.net"))
    _check_object("optimizer", plain["optimizer"], partial=True)
    _check_object("trainer", plain["trainer"], partial=None)
    for key in ("reg.penalty", "constraint.projection"):
        if (node := _value(plain, key)) is not None:
            _check_object(key, node)
    for group in ("callbacks", "logger"):
        for name, node in plain[group].items():
            _check_member(f"{group}.{name}", node)
    check_contradictions(plain)
    check_callbacks(plain)
    _check_packages(plain)


def _check_all_there(plain: Any) -> None:
    for group, option in GROUPS.items():
        if not isinstance(plain.get(group), Mapping):
            raise RunError(f"{group}: expected settings, received {shown(plain.get(group))}; choose {group}={option}")
    for key, kind in SETTINGS.items():
        if _value(plain, key) is REMOVED and key not in OPTIONAL:
            kind.check(key, REMOVED)


def _plain(cfg: DictConfig) -> dict[str, Any]:
    """A config as plain lists and dicts, with interpolations resolved."""
    try:
        plain: Any = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue:
        raise
    except OmegaConfBaseException as error:
        raise RunError(unresolved(error)) from error
    return plain


def _value(plain: Mapping[str, Any], key: str) -> Any:
    value: Any = plain
    for name in key.split("."):
        value = value.get(name, REMOVED) if isinstance(value, Mapping) else REMOVED
    return value


def _check_member(key: str, node: Any) -> None:
    """Check a callback or logger; null and nodes without a class are skipped."""
    if node is None:
        return
    if not isinstance(node, Mapping):
        raise RunError(f"{key}: expected an object, written as {{_target_: ...}}, or null, received {shown(node)}")
    if "_target_" in node:
        _check_object(key, node)


def _check_object(key: str, node: Any, *, partial: bool | None = False) -> None:
    OBJECT.check(key, node)
    check_targets(node, key)
    check_call(key, node, partial=partial)


def _check_pair(plain: Mapping[str, Any], choices: Mapping[str, str]) -> None:
    """Refuse an incompatible net and data set before either is built."""
    model, data = (f"{group}={choices.get(group)}" for group in ("model", "data"))
    shape = _value(plain, "model.input_shape")
    if _value(plain, "model.net.num_classes") is None:  # from the data, which has no classes
        fit = "mlp" if data == "data=csv" else "distance"
        raise RunError(
            f"{data} has numbers to predict and no classes, {model} gives classes; choose model={fit}, "
            "or say how many numbers with model.net.num_classes=1"
        )
    if shape is not None and len(shape) != 3 and _value(plain, "data.resize") not in (None, REMOVED):
        raise RunError(
            f"{model} takes samples of shape {list(shape)}, and {data} has images; choose the data it is made for, as "
            "an experiment does (experiment=... in --help), or another model.input_shape"
        )


def _check_packages(plain: Mapping[str, Any]) -> None:
    used = f"{plain['callbacks']} {plain['logger']}"
    for package, (target, user) in _NEEDS.items():
        if target in used and find_spec(package) is None:
            raise RunError(not_installed(package, user))
