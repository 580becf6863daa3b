"""The optimizer that a net was compiled with, with its moments and its number of steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from regtorch.checks import shown
from regtorch.keras.dtypes import policy_of
from regtorch.keras.files.h5 import H5
from regtorch.keras.files.saved import Saved
from regtorch.keras.net import KerasNet
from regtorch.keras.optimizers import KerasOptimizer, optimizer

__all__ = ["compiled_optimizer", "settings_for"]

_STATE = "optimizer/vars/"
_LEGACY_STATE = "optimizer_weights"
_COUNTED = {"lr", "iterations", "updated", "loss_scale", "finite_steps"}  # what steps change in a group


def compiled_optimizer(given: Saved, net: KerasNet) -> KerasOptimizer | None:
    """The optimizer of a file over a net's parameters; None if it was not compiled with one, or has no parameters.

    Raises:
        ValueError: the optimizer is not supported, or its state is another net's.
    """
    identifier = (given.training or {}).get("optimizer")
    if identifier is None or next(net.parameters(), None) is None:
        return None
    values, legacy = _variables(given.file)
    scaled = not legacy and [value.ndim for value in values[:6]] == [0] * 6  # a loss scale's numbers come first
    made = optimizer(_identifier(identifier, net, scaled=scaled), net)
    if _is_new(values):
        return made
    try:
        made.load_keras_state(net, values, legacy=legacy)
    except ValueError as error:
        raise ValueError(f"the state of its optimizer is not this net's: {str(error).partition(': ')[2]}") from None
    return made


def settings_for(net: KerasNet, given: KerasOptimizer) -> Any:
    """Keras's config of an optimizer, as the net's own config has it.

    Raises:
        ValueError: the net was not compiled with such an optimizer in Keras.
    """
    identifier = (net.config.get("compile_config") or {}).get("optimizer")
    kind = type(given).__name__
    if identifier is None:
        raise ValueError(
            f"save: the net was not compiled in Keras, so that its config has no settings for {kind}; leave optimizer= "
            "out, and compile in Keras"
        )
    scaled = given.settings.dynamic_growth_steps is not None
    again = optimizer(_identifier(identifier, net, scaled=scaled), net)
    ours, theirs = given.param_groups[0], again.param_groups[0]
    changed = [key for key in again.defaults if key not in _COUNTED and ours.get(key) != theirs.get(key)]
    if type(given) is not type(again) or changed or given.settings != again.settings:
        what = ", ".join(f"{key}={shown(ours.get(key))}" for key in changed) or "other shared settings"
        received = kind if type(given) is not type(again) else f"{kind} with {what}"
        raise ValueError(
            f"save: {received} is not the optimizer that the net was compiled with in Keras; leave optimizer= out, and "
            "compile in Keras"
        )
    return {"module": "keras.optimizers", **identifier} if isinstance(identifier, Mapping) else identifier


def _identifier(identifier: Any, net: KerasNet, *, scaled: bool) -> Any:
    """The identifier in a form that `optimizer` takes.

    Under the policy mixed_float16 Keras wraps the optimizer in a LossScaleOptimizer, and does not write that.
    """
    named = _named_by_keras(identifier)
    if not scaled or policy_of(net.config["config"]) != "mixed_float16" or "LossScale" in str(named):
        return named
    return {"class_name": "LossScaleOptimizer", "config": {"inner_optimizer": named}}


def _named_by_keras(identifier: Any) -> Any:
    """The identifier; Keras 2.11 to 2.15 names its own optimizers in `model.h5` as if they were user-defined."""
    name = identifier.get("class_name") if isinstance(identifier, Mapping) else None
    if isinstance(name, str) and name.startswith("Custom>") and "module" not in identifier:
        return {**identifier, "class_name": name.removeprefix("Custom>")}
    return identifier


def _variables(file: H5) -> tuple[list[Tensor], bool]:
    """The optimizer's variables in Keras's order, and whether it is one of Keras 2's `optimizers.legacy`."""
    if _LEGACY_STATE in file.groups:
        names = file.names(_LEGACY_STATE, "weight_names")
        missing = next((name for name in names if f"{_LEGACY_STATE}/{name}" not in file.arrays), None)
        if missing is not None:
            raise ValueError(f"it is damaged: it lists an array {shown(missing)} that it does not have")
        legacy = any(name.rpartition("/")[2] == "iter:0" for name in names)
        return [file.read(f"{_LEGACY_STATE}/{name}") for name in names], legacy
    count = sum(path.startswith(_STATE) for path in file.arrays)
    paths = [f"{_STATE}{i}" for i in range(count)]
    missing = next((path for path in paths if path not in file.arrays), None)
    if missing is not None:
        raise ValueError(f"it is damaged: its optimizer has {count} variables, and {missing} is missing")
    return [file.read(path) for path in paths], False


def _is_new(values: list[Tensor]) -> bool:
    """Whether the optimizer has made no step, so that it has no moments yet."""
    return all(value.ndim == 0 for value in values) and (not values or values[0].item() == 0)
