"""The config of a net, with the flag `trainable` of its layers as they are now."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from torch import nn

from regtorch.keras.batch_norm import BatchNorm
from regtorch.keras.graph import backward_of
from regtorch.keras.layers.recurrent.bidirectional import Bidirectional
from regtorch.keras.net import KerasNet

__all__ = ["config_with_flags"]

# Where a wrapper's config has a layer, and the attribute of its module that is that layer.
_INNER = (("layer", "layer"), ("layer", "forward_layer"), ("backward_layer", "backward_layer"), ("cell", "cell"))


def config_with_flags(net: KerasNet) -> Mapping[str, Any]:
    """The config that a net came with, in which `trainable` says of each layer with weights whether it trains.

    In Keras 3 a layer trains if its own flag and that of the outermost net are on.
    """
    if net.config["config"].get("trainable") is False and not _any_trains(net):
        return net.config
    config = deepcopy(net.config)
    _set_flags(config["config"], net)
    return config


def _any_trains(module: nn.Module) -> bool:
    return any(p.requires_grad for p in module.parameters())


def _set_flags(settings: Any, net: KerasNet) -> None:
    """The flags of a net and its layers."""
    if "trainable" in settings:
        settings["trainable"] = _any_trains(net)
    modules = {source.name: source.module for source in net.layers}
    for layer in settings["layers"]:
        module = modules.get(layer.get("name", layer["config"].get("name")))
        if module is not None:
            _set_flag(layer["config"], net.get_submodule(module))


def _set_flag(settings: Any, module: nn.Module) -> None:
    """The flags of a layer, and of those in its config."""
    if isinstance(module, KerasNet):
        _set_flags(settings, module)
        return
    norms = [part for part in module.modules() if isinstance(part, BatchNorm)]
    if any(True for _ in module.parameters()):
        settings["trainable"] = _any_trains(module)
    elif norms:
        settings["trainable"] = any(norm.trainable for norm in norms)
    if isinstance(module, BatchNorm) and not module.trainable:
        settings["trainable"] = False
    if isinstance(module, Bidirectional) and isinstance(settings.get("layer"), Mapping):
        settings["backward_layer"] = settings.get("backward_layer") or backward_of(settings["layer"])
    for key, attribute in _INNER:
        part, inner = settings.get(key), getattr(module, attribute, None)
        if isinstance(part, Mapping) and isinstance(part.get("config"), dict) and isinstance(inner, nn.Module):
            _set_flag(part["config"], inner)
