"""Freeze and unfreeze the layers of a net as Keras's `layer.trainable` does."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from regtorch.checks import flag, shown
from regtorch.keras.batch_norm import BatchNorm
from regtorch.select.weight import modules_of

__all__ = ["set_trainable"]


def set_trainable(net: nn.Module, trainable: bool, names: Sequence[str]) -> None:
    """Freeze or unfreeze the layers of these names; all without names.

    Raises:
        TypeError: `trainable` is not a bool, or a name is not a string.
        ValueError: no layer has one of the names; nothing is changed then.
    """
    flag("set_trainable", "trainable", trainable)
    modules = {name: module for name, module in modules_of(net).items() if name}
    chosen = [module for name in names for module in _named(modules, name)] if names else [net]
    for module in chosen:
        for part in module.modules():
            if isinstance(part, BatchNorm):
                part.trainable = trainable
        for parameter in module.parameters():
            parameter.requires_grad_(trainable)
            if not trainable:
                parameter.grad = None  # an optimizer would step by it


def _named(modules: Mapping[str, nn.Module], name: Any) -> list[nn.Module]:
    if not isinstance(name, str):
        raise TypeError(f"set_trainable: give the names of layers, received {shown(name)}")
    ours = re.sub(r"[^\w.*?\[\]]", "_", name)  # Keras's names have other characters too
    found = [module for known, module in modules.items() if fnmatchcase(known, ours)]
    if not found:
        nearest = get_close_matches(ours, modules, n=1)
        hint = f" (did you mean {nearest[0]!r}?)" if nearest else ""
        layers = ", ".join(known for known in modules if "." not in known)
        raise ValueError(f"set_trainable: no layer is named {name!r}{hint}; the layers are {layers}")
    return found
