"""The dtype of a layer, from the policy in its config."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from regtorch.checks import shown
from regtorch.keras.origin import is_user_defined

__all__ = ["as_floats", "dtype_of", "has_narrow", "input_dtype_of", "policy_of", "shared_dtype"]

_DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64}
_NARROW = ("int8", "uint8", "int16", "uint16")
_POLICIES = ("DTypePolicy", "FloatDTypePolicy", "Policy")


def dtype_of(config: Mapping[str, Any]) -> torch.dtype | None:
    """The dtype of a layer's weights and computations; None if the config has none.

    Raises:
        ValueError: it is not supported.
    """
    policy = policy_of(config)
    if policy is None:
        return None
    if policy in ("mixed_float16", "mixed_bfloat16"):
        warnings.warn(
            f"from_config: Keras's policy {policy} keeps float32 weights and computes in half precision; the weights "
            "are float32 here too: run the net under torch.autocast",
            stacklevel=2,
        )
        return torch.float32
    if not isinstance(policy, str) or policy not in _DTYPES:
        raise ValueError(f"the dtype {shown(policy)} is not supported; supported are {', '.join(_DTYPES)}")
    return _DTYPES[policy]


def shared_dtype(configs: Iterable[Mapping[str, Any]]) -> torch.dtype | None:
    """The dtype of all layers with one, which cast the floats they get; None if they have several or invalid ones."""
    try:
        names = {"float32" if str(name).startswith("mixed_") else str(name) for name in map(policy_of, configs) if name}
    except ValueError:  # which building that layer raises, by its name
        return None
    return _DTYPES.get(names.pop()) if len(names) == 1 else None


def policy_of(config: Mapping[str, Any]) -> Any:
    """The name of a config's dtype policy; None if it has none.

    Raises:
        ValueError: it is not one of Keras's.
    """
    policy = config.get("dtype")
    if not isinstance(policy, Mapping):
        return policy
    kind, inner = policy.get("class_name"), policy.get("config")
    if is_user_defined(policy):
        raise ValueError(f"the dtype policy {shown(kind)} is a user-defined class, which is not supported")
    if kind not in _POLICIES or not isinstance(inner, Mapping):
        raise ValueError(f"the dtype policy {shown(kind)} is not supported; supported are {', '.join(_POLICIES)}")
    return inner.get("name") or shown(None)


def input_dtype_of(config: Mapping[str, Any], shared: torch.dtype | None) -> torch.dtype:
    """The dtype of an input; floats are cast to that of the layers, and integers of every kind enter as int64.

    Raises:
        ValueError: it is not supported.
    """
    name = config.get("dtype")
    if name == "bool":
        return torch.bool
    if isinstance(name, str) and name.startswith(("int", "uint")):
        return torch.int64
    own = dtype_of(config)
    return shared or own or torch.float32


def has_narrow(tree: Any) -> bool:
    """Whether a config has whole numbers of 8 or 16 bits, with which Keras computes in as many bits, and wraps."""
    if isinstance(tree, Mapping):
        return tree.get("dtype") in _NARROW or any(map(has_narrow, tree.values()))
    return isinstance(tree, list | tuple) and any(map(has_narrow, tree))


def as_floats(x: Tensor, dtype: torch.dtype) -> Tensor:
    """`x`, whole numbers cast to `dtype`."""
    return x if x.is_floating_point() else x.to(dtype)
