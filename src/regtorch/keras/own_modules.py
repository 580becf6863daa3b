"""Modules of `custom_objects`, whose tensors are set aside while their net is built without memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator, MutableMapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from regtorch.keras.file_names import numbered

__all__ = ["Aside", "is_own", "parts_in"]

_MARK = "of_custom_objects"
_KERAS = {  # what Keras calls a layer of torch, in the names of a list of them
    "Linear": "Dense",
    "LayerNorm": "LayerNormalization",
    "GroupNorm": "GroupNormalization",
    **{f"BatchNorm{n}d": "BatchNormalization" for n in (1, 2, 3)},
    **{f"Conv{n}d": f"Conv{n}D" for n in (1, 2, 3)},
    **{f"ConvTranspose{n}d": f"Conv{n}DTranspose" for n in (1, 2, 3)},
}

_CONTAINERS = nn.ModuleList | nn.ModuleDict


def is_own(module: nn.Module) -> bool:
    """Whether `custom_objects` made the module, or one that it is in."""
    return getattr(module, _MARK, False)


class Aside:
    """The parameters, buffers and other tensors of a module, in whose place are ones without memory until `restore`."""

    def __init__(self, module: nn.Module) -> None:
        for part in module.modules():
            setattr(part, _MARK, True)
        self.tensors = list(_tensors(module))
        stand_ins: dict[int, Tensor] = {}
        for held, name, tensor in self.tensors:
            held[name] = stand_ins.setdefault(id(tensor), _on_meta(tensor))

    def restore(self) -> None:
        """Put the tensors back, as trainable and of the dtype as their stand-ins are now."""
        for held, name, tensor in self.tensors:
            now = held[name]
            if isinstance(tensor, nn.Parameter):
                tensor.requires_grad_(now.requires_grad)
            if tensor.is_floating_point():
                tensor.data = tensor.data.to(now.dtype)
            held[name] = tensor


def _tensors(module: nn.Module) -> Iterator[tuple[MutableMapping[str, Any], str, Tensor]]:
    for part in module.modules():
        for held in (part._parameters, part._buffers, part.__dict__):
            for name, tensor in list(held.items()):
                if isinstance(tensor, Tensor) and not is_lazy(tensor):
                    yield held, name, tensor


def _on_meta(tensor: Tensor) -> Tensor:
    empty = torch.empty_like(tensor, device="meta")
    return nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty


def parts_in(module: nn.Module, group: str, paths: Collection[str]) -> dict[str, str]:
    """Which submodules of a module of the user's a file has as layers of their own: their `keras_parts`.

    An attribute has the same name in Keras; a list of layers goes by their classes. Of a Keras model, the attributes
    after "layers" in the alphabet are in its list `layers`, by their classes in the order of assignment. What a file
    has in neither place are submodules that hold weights of the Keras layer itself.

    Args:
        module: the module.
        group: where the file has the layer.
        paths: those of all arrays in the file.
    """
    known = [*_names_in(module).items(), *_in_layers(module)]
    found: dict[str, str] = {}
    for child, name in known:
        place = f"{group}/{name}/".lstrip("/")
        if any(path.startswith(place) for path in paths):
            found.setdefault(child, name)
    return found


def _names_in(module: nn.Module) -> dict[str, str]:
    children = dict(module.named_children())
    if not isinstance(module, _CONTAINERS | nn.Sequential):
        return {name: name for name in children}
    names = numbered(map(_class_of, children.values()))
    inside = "layers/" if isinstance(module, nn.Sequential) else ""
    return {child: f"{inside}{name}" for child, name in zip(children, names, strict=True)}


def _in_layers(module: nn.Module) -> list[tuple[str, str]]:
    """The dotted names of a module's layers, and their names in the list `layers` of a Keras model."""
    if isinstance(module, _CONTAINERS | nn.Sequential):
        return []
    layers = dict(_flattened(module, ""))
    return list(zip(layers, (f"layers/{name}" for name in numbered(map(_class_of, layers.values()))), strict=True))


def _flattened(module: nn.Module, prefix: str) -> Iterator[tuple[str, nn.Module]]:
    for name, child in module.named_children():
        if isinstance(child, _CONTAINERS):
            yield from _flattened(child, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", child


def _class_of(module: nn.Module) -> str:
    kind = type(module).__name__
    return str(getattr(module, "config", {}).get("class_name", kind)) if kind == "KerasNet" else _KERAS.get(kind, kind)
