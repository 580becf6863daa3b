"""Keras's weights, in any accepted form, as an ordered list of arrays with their names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from regtorch.checks import shown

__all__ = ["in_order", "refuse_name"]

_TORCH_NAMES = ("weight", "running_mean", "running_var", "num_batches_tracked")
_KERAS_NAMES = (
    *("kernel", "recurrent_kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance", "embeddings", "alpha"),
)


def in_order(arrays: Any) -> list[tuple[str | None, Any]]:
    """The arrays in order, each with its name or None.

    Raises:
        TypeError: it is a path, or not a list of arrays.
        ValueError: it is a state_dict, or arrays are missing.
    """
    if isinstance(arrays, str | bytes | os.PathLike):
        raise TypeError(f"{_EXPECTED} the path {arrays!r}; open a file that numpy.savez wrote with numpy.load(path)")
    if isinstance(arrays, set | frozenset | nn.Module) or not isinstance(arrays, Iterable):
        raise TypeError(f"{_EXPECTED} {shown(arrays)} of type {type(arrays).__name__}")
    if not isinstance(arrays, Mapping):
        return [(None, array) for array in arrays]
    names = [str(name) for name in arrays]
    torch_name = next((name for name in names if name.split(".")[-1] in _TORCH_NAMES), None)
    if torch_name is not None:
        raise ValueError(
            f"load_weights: the name {torch_name!r} is that of a state_dict, which has torch's layout; use "
            "model.load_state_dict(...)"
        )
    if names and all(re.fullmatch(r"arr_[0-9]{1,9}", name) for name in names):
        missing = next((i for i in range(len(names)) if f"arr_{i}" not in arrays), None)
        if missing is not None:
            raise ValueError(
                f"load_weights: the arrays arr_0, arr_1, … must be numbered without a gap; arr_{missing} is missing"
            )
        return [(None, arrays[f"arr_{i}"]) for i in range(len(names))]
    return list(zip(names, arrays.values(), strict=True))


_EXPECTED = "load_weights: arrays must be the list that Keras's model.get_weights() gives, or a dict of it, received"


def refuse_name(name: str | None, variable: str, where: str) -> None:
    """Refuse an array whose name is that of another variable.

    Raises:
        ValueError: it is.
    """
    given = re.sub(r":[0-9]+$", "", (name or "").split("/")[-1])
    kernels = {"depthwise": "kernel", "pointwise": "kernel", "depthwise_kernel": "kernel", "pointwise_kernel": "kernel"}
    given, variable_given = kernels.get(given, given), kernels.get(variable, variable)
    if given in _KERAS_NAMES and given != variable_given:
        raise ValueError(
            f"load_weights: received the array {name!r} for the {variable} of {where}; give the arrays in "
            "the order of Keras's get_weights()"
        )
