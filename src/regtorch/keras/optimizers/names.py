"""The names of an optimizer's weights, and which of them have no weight decay."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from regtorch.checks import shown
from regtorch.keras.variables import variables

__all__ = ["excluded", "name_of", "named"]


def named(params: Any) -> Any:
    """The weights of a net with Keras's names; anything else as it is."""
    if not isinstance(params, nn.Module):
        return params
    names: dict[int, str] = {}
    for path, module in params.named_modules():
        try:
            found = variables(module)
        except TypeError:  # of no Keras layer: torch's names
            continue
        for variable in found:
            names[id(variable.read(module))] = "/".join([*filter(None, path.split(".")), variable.name])
    return [(names.get(id(p), name), p) for name, p in params.named_parameters()]


def name_of(group: dict[str, Any], p: Tensor) -> str | None:
    """The name of a group's weight; None if the optimizer was built without names."""
    names = group.get("param_names", [])
    return next((name for name, other in zip(names, group["params"], strict=False) if other is p), None)


def excluded(groups: list[dict[str, Any]], params: Iterable[Tensor], names: list[str]) -> None:
    """Note the weights without weight decay in their groups.

    Raises:
        ValueError: there is no such weight, or there are no names.
    """
    wanted = {id(p) for p in params}
    owned = {id(p) for group in groups for p in group["params"]}
    if wanted - owned:
        raise ValueError("exclude_from_weight_decay: params must be weights of this optimizer, received another tensor")
    if names and any(group.get("param_names") is None for group in groups):
        raise ValueError(
            "exclude_from_weight_decay: the weights have no names; build the optimizer with the net or with "
            "net.named_parameters()"
        )
    known = {id(p): name for group in groups for p in group["params"] if (name := name_of(group, p)) is not None}
    for pattern in names:
        found = {key for key, name in known.items() if re.search(pattern, name)}
        if not found:
            raise ValueError(
                f"exclude_from_weight_decay: no weight's name contains {pattern!r}; the names are "
                f"{shown(list(known.values()))}"
            )
        wanted |= found
    for group in groups:
        group["undecayed"] = [i for i, p in enumerate(group["params"]) if id(p) in wanted]
