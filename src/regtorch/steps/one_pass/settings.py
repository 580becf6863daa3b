"""The settings of a param group as numbers, for a compiled function in which they may change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

__all__ = ["plain", "settings_of"]

Read = Callable[[Tensor], dict[str, Any]]


def plain(group: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with rates that are tensors as numbers."""
    return {name: float(value) if isinstance(value, Tensor) else value for name, value in group.items()}


def settings_of(group: Mapping[str, Any]) -> tuple[Read, list[float]]:
    """The numbers in a group, and what makes its settings of a vector of them; a momentum of 0 has no buffer."""
    numbers: list[float] = []
    where: dict[str, int | tuple[int, int]] = {}
    fixed: dict[str, Any] = {}
    value: Any
    for name, value in plain(group).items():
        if name == "betas":
            where[name] = len(numbers), len(numbers) + 1
            numbers += [float(value[0]), float(value[1])]
        elif name != "params" and type(value) in (int, float) and (value or name != "momentum"):
            where[name] = len(numbers)
            numbers.append(float(value))
        elif name != "params":
            fixed[name] = value

    def read(vector: Tensor) -> dict[str, Any]:
        found = {n: vector[at] if isinstance(at, int) else tuple(vector[i] for i in at) for n, at in where.items()}
        return fixed | found

    return read, numbers
