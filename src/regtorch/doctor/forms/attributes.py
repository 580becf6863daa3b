"""Restore what a forward pass or a training step leaves in plain attributes: counters, lists, metrics' states."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["attributes_kept"]

# Of modules, which `restored` restores.
_OF_MODULES = {"training", "_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"}


def attributes_kept(*owners: Any) -> list[Callable[[], None]]:
    """Functions that put back the attributes of objects, and of all modules in them, hooks included.

    Lists, dicts, sets and tensors in attributes get their contents back; other objects are not looked into.
    """
    objects = [part for owner in owners for part in (owner.modules() if isinstance(owner, nn.Module) else (owner,))]
    return [
        _keep(vars(owner), skipped=_OF_MODULES if isinstance(owner, nn.Module) else ())
        for owner in {id(one): one for one in objects if hasattr(one, "__dict__")}.values()
    ]


def _keep(attributes: dict[str, Any], skipped: Iterable[str]) -> Callable[[], None]:
    """A function that puts attributes back."""
    before = {name: value for name, value in attributes.items() if name not in skipped}
    inside = [undo for value in before.values() if (undo := _content(value)) is not None]

    def put_back() -> None:
        for name in [name for name in attributes if name not in before and name not in skipped]:
            del attributes[name]
        attributes.update(before)
        for undo in inside:
            undo()

    return put_back


def _content(value: Any, deep: bool = True) -> Callable[[], None] | None:
    """A function that puts the content of a container or a tensor back; None if there is none to change."""
    if isinstance(value, Tensor):
        if isinstance(value, nn.Parameter) or value.is_meta or value.is_inference():
            return None
        data, was = value.detach(), value.detach().clone()
        return lambda: _copy(data, was)
    if not isinstance(value, list | dict | set | deque):
        return None
    was = value.copy()
    parts = (value.values() if isinstance(value, dict) else value) if deep else ()
    inside = [undo for part in parts if (undo := _content(part, deep=False)) is not None]

    def put_back() -> None:
        if _items(value) != _items(was):
            value.clear()
            value.extend(was) if isinstance(value, list | deque) else value.update(was)
        for undo in inside:
            undo()

    return put_back


def _items(value: Any) -> list[Any]:
    """What a container holds, by identity."""
    return [(key, id(part)) for key, part in value.items()] if isinstance(value, dict) else list(map(id, value))


@torch.no_grad()
def _copy(into: Tensor, value: Tensor) -> None:
    if into.shape == value.shape and not torch.equal(into, value):
        into.copy_(value)
