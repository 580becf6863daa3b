"""The layer of each parameter: in the order of the network's blocks, or of given names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import nn

from regtorch.select.weight import weights_of

__all__ = ["layers_of", "named_layers"]

_HOW = (
    "give layers=, the names or prefixes of each layer from the input to the output, such as "
    "layers=['stem', 'layer1', ['layer2', 'extra'], 'head']"
)


def layers_of(model: nn.Module) -> list[list[str]]:
    """The parameter names of each layer, from the input to the output.

    The layers are the blocks of the network's only outermost list (a `ModuleList` or `Sequential` of at least two
    modules of one class), plus one layer for the parameters before it and one for those after it. A norm right after
    the last block counts as part of that block. The layers of a `Sequential` network are its members with parameters.

    Raises:
        ValueError: there is no such list, or more than one.
    """
    names = [name for name, _ in model.named_parameters()]
    if isinstance(model, nn.Sequential) and not _is_list(model):
        return [own for key in model._modules if (own := _under(names, key))]
    lists = list(_outermost(model))
    if len(lists) != 1:
        found = f"has {len(lists)} lists of blocks ({', '.join(lists)})" if lists else "has no list of blocks"
        raise ValueError(f"param_groups: {type(model).__name__} {found}, so the order of its layers is unknown; {_HOW}")
    path = lists[0]
    blocks = model.get_submodule(path)
    layers = [own for key in blocks._modules if (own := _under(names, f"{path}.{key}".lstrip(".")))]
    first, last = names.index(layers[0][0]), names.index(layers[-1][-1])
    norms = {name for weight in weights_of(model) if weight.role == "norm" for name in weight.names}
    own = {name for layer in layers for name in layer}
    after = [name for name in names[last + 1 :] if name not in own]
    end = next((i for i, name in enumerate(after) if name not in norms), len(after))
    layers[-1] += after[:end]
    return [layer for layer in (names[:first], *layers, after[end:]) if layer]


def named_layers(model: nn.Module, layers: Sequence[str | Sequence[str]]) -> list[list[str]]:
    """The parameter names of each layer, given by names or prefixes; the longest matching prefix counts."""
    if isinstance(layers, str) or not isinstance(layers, Sequence):
        raise TypeError(
            f"param_groups: layers must be a list of names, from the input to the output, received {layers!r}"
        )
    prefixes = {
        prefix: i for i, layer in enumerate(layers) for prefix in ([layer] if isinstance(layer, str) else layer)
    }
    if not all(isinstance(prefix, str) and prefix for prefix in prefixes):
        raise TypeError(f"param_groups: layers must hold names, or lists of names, received {layers!r}")
    names = [name for name, _ in model.named_parameters()]
    for prefix in prefixes:
        if not _under(names, prefix):
            raise ValueError(f"param_groups: layers: {prefix!r} matches no parameter; there are {_shown(names)}")
    found: list[list[str]] = [[] for _ in layers]
    missing = []
    for name, p in model.named_parameters():
        fitting = [prefix for prefix in prefixes if _under([name], prefix)]
        if fitting:
            found[prefixes[max(fitting, key=len)]].append(name)
        elif p.requires_grad:
            missing.append(name)
    if missing:
        raise ValueError(f"param_groups: layers must cover every trainable parameter; missing are {_shown(missing)}")
    return found


def _outermost(module: nn.Module, path: str = "") -> Iterator[str]:
    """The paths of the outermost lists of blocks."""
    if _is_list(module):
        yield path
        return
    for name, child in module.named_children():
        yield from _outermost(child, f"{path}.{name}".lstrip("."))


def _is_list(module: nn.Module) -> bool:
    members = [m for m in module.children() if any(True for _ in m.parameters())]
    alike = len(members) > 1 and len({type(m) for m in members}) == 1
    return isinstance(module, nn.ModuleList | nn.Sequential) and alike and len(members) == len(list(module.children()))


def _under(names: Sequence[str], prefix: str) -> list[str]:
    return [name for name in names if name == prefix or name.startswith(f"{prefix}.")]


def _shown(names: Sequence[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + ", …" * (len(names) > most)
