"""What is given as Keras's weights, as a list of arrays in order, each with its name where it has one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from regtorch.checks import shown

__all__ = ["in_order", "refuse_name"]

_TORCHS = ("weight", "running_mean", "running_var", "num_batches_tracked")
_KERAS = ("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance", "embeddings", "alpha")


def in_order(arrays: Any) -> list[tuple[str | None, Any]]:
    """Names and arrays.

    Raises:
        TypeError: it is a path, or no list of arrays.
        ValueError: it is a state_dict, or arrays are missing.
    """
    if isinstance(arrays, str | bytes | os.PathLike):
        raise TypeError(f"{_EXPECTED} the path {arrays!r}; open a file that numpy.savez wrote with numpy.load(path)")
    if isinstance(arrays, set | frozenset | nn.Module) or not isinstance(arrays, Iterable):
        raise TypeError(f"{_EXPECTED} {shown(arrays)} of type {type(arrays).__name__}")
    if not isinstance(arrays, Mapping):
        return [(None, array) for array in arrays]
    names = [str(name) for name in arrays]
    torchs = next((name for name in names if name.split(".")[-1] in _TORCHS), None)
    if torchs is not None:
        raise ValueError(
            f"load_weights: the arrays have names such as {torchs!r}: a state_dict has torch's layout; use "
            "model.load_state_dict(...)"
        )
    if names and all(re.fullmatch(r"arr_[0-9]{1,9}", name) for name in names):
        missing = next((i for i in range(len(names)) if f"arr_{i}" not in arrays), None)
        if missing is not None:
            raise ValueError(
                f"load_weights: the arrays arr_0, arr_1, … must be numbered without a gap, arr_{missing} is missing"
            )
        return [(None, arrays[f"arr_{i}"]) for i in range(len(names))]
    return list(zip(names, arrays.values(), strict=True))


_EXPECTED = "load_weights: arrays must be the list that Keras's model.get_weights() gives, or a dict of it, received"


def refuse_name(name: str | None, variable: str, where: str) -> None:
    """Refuse an array that is named for another variable than the one it would be loaded into.

    Raises:
        ValueError: it is.
    """
    given = re.sub(r":[0-9]+$", "", (name or "").split("/")[-1])
    kernels = {"depthwise": "kernel", "pointwise": "kernel", "depthwise_kernel": "kernel", "pointwise_kernel": "kernel"}
    given, variable_given = kernels.get(given, given), kernels.get(variable, variable)
    if given in _KERAS and given != variable_given:
        raise ValueError(
            f"load_weights: the array {name!r} is in the place of the {variable} of {where}; give the arrays in "
            "the order of Keras's get_weights()"
        )
