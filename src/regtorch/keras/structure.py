"""What a net is made of, and which of its layers are no longer those that its config describes."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn
from torch.nn.utils.parametrize import type_before_parametrizations

__all__ = ["changed", "structure_of"]

_OURS = ("torch", "regtorch")  # whose `extra_repr` has the settings of a module


def structure_of(net: nn.Module) -> Mapping[str, str]:
    """The class of each submodule and its settings, by its dotted name."""
    modules = net.named_modules(remove_duplicate=False)
    return {name: _described(module) for name, module in modules if name and ".parametrizations" not in f".{name}"}


def changed(net: nn.Module, before: Mapping[str, str]) -> str:
    """The first submodule that is another one than before, as words; empty if there is none."""
    now = structure_of(net)
    for name in [*before, *now]:
        was, is_now = before.get(name, "absent"), now.get(name, "absent")
        if was != is_now:
            return f"{name!r} was {was} and is {is_now}"
    return ""


def _described(module: nn.Module) -> str:
    kind = type_before_parametrizations(module)
    settings = module.extra_repr() if kind.__module__.partition(".")[0] in _OURS else ""
    return f"{kind.__name__}({settings})"
