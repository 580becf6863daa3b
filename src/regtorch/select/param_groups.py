"""Parameter groups for AdamW and similar: weight decay on selected weights, and learning rates by depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from regtorch.checks import nonnegative, number
from regtorch.notebook import Shown
from regtorch.rule import DEFAULT_SELECT
from regtorch.select.depth import layers_of, named_layers
from regtorch.select.language import choose
from regtorch.select.receipt import Receipt, receipt

__all__ = ["ParamGroups", "param_groups"]


class ParamGroups(Shown, list[dict[str, Any]]):
    """A list of parameter groups for any torch optimizer; `print` and a notebook show its receipt."""

    def __init__(self, groups: list[dict[str, Any]], receipt: Receipt) -> None:
        super().__init__(groups)
        self._receipt = receipt

    def receipt(self) -> Receipt:
        """Which weights decay, which do not and why, and the learning rate, decay and parameters of each group."""
        return self._receipt

    def __str__(self) -> str:
        return str(self._receipt)


def param_groups(
    model: nn.Module,
    weight_decay: float = 0.01,
    *,
    select: str = DEFAULT_SELECT,
    layer_decay: float | None = None,
    layers: Sequence[str | Sequence[str]] | None = None,
    **options: Any,
) -> ParamGroups:
    """All trainable parameters of `model` in groups: those of the selected weights with decay, all others without.

    A penalty is not decoupled decay, w ← w - lr·weight_decay·w, which bypasses the optimizer's moments. For that, give
    these groups to an optimizer such as AdamW. `select="kernel|embedding"` decays what Hugging Face's Trainer does.

    Args:
        model: the network.
        weight_decay: of the selected weights, in the optimizer's units.
        select: which weights decay.
        layer_decay: a factor on the learning rate for each layer below the last: lr · layer_decay^k for the k-th from
            the top (Clark et al. 2020). Layers are the blocks of the network's only list of blocks, the parameters
            before it, and those after it (a norm counts as part of the last block); of a `Sequential`, its members.
        layers: the names or prefixes of each layer, from the input to the output, if the network's own order is
            unknown or not wanted.
        options: settings for all groups, such as `lr`, which layer_decay needs.

    Raises:
        SelectionError: `select` is invalid or matches nothing.
        TypeError: `weight_decay`, `layer_decay` or `lr` is not a number, `layers` not a list of names, or `model` not a
            module; `params` is among the options.
        ValueError: `weight_decay` is negative, infinite or NaN, `layer_decay` not above 0 and at most 1; the order of
            the layers is unknown; or `layers` omits a parameter or names an unknown one.

    Example:
        >>> import torch, regtorch as rt
        >>> net = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.LayerNorm(3))
        >>> optimizer = torch.optim.AdamW(rt.param_groups(net, 0.1), lr=1e-3)
        >>> [(group["weight_decay"], len(group["params"])) for group in optimizer.param_groups]
        [(0.1, 1), (0.0, 3)]
        >>> groups = rt.param_groups(net, 0.1, lr=1e-3, layer_decay=0.5)
        >>> [(group["lr"], group["weight_decay"], len(group["params"])) for group in groups]
        [(0.0005, 0.1, 1), (0.0005, 0.0, 1), (0.001, 0.0, 2)]
    """
    decay = nonnegative("param_groups", "weight_decay", weight_decay)
    if "params" in options:
        raise TypeError("param_groups: params is taken from the model; remove params=")
    selection = choose(model, select)
    chosen = {id(p) for weight in selection.chosen for p in weight.leaves(model)}
    text: list[str] = [
        receipt(f"weight_decay={decay:g}, select={select!r}", selection, "decoupled from the gradient", {})
    ]
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    groups: list[dict[str, Any]] = []
    for names, rate in _layers(model, layer_decay, layers, options):
        for decays in (True, False):
            own = {name: parameters[name] for name in names if (id(parameters[name]) in chosen) == decays}
            if own:
                groups.append({"params": [*own.values()], "weight_decay": decay if decays else 0.0, **options, **rate})
                text.append(_line(len(groups) - 1, own, groups[-1]))
    return ParamGroups(groups, Receipt("\n".join(text)))


def _layers(
    model: nn.Module, layer_decay: Any, layers: Any, options: Mapping[str, Any]
) -> list[tuple[list[str], dict[str, float]]]:
    """The trainable parameters' names and the learning rate of each layer."""
    trainable = {name for name, p in model.named_parameters() if p.requires_grad}
    if layer_decay is None:
        if layers is not None:
            raise TypeError("param_groups: layers= needs layer_decay=; give both or neither")
        return [([name for name, _ in model.named_parameters() if name in trainable], {})]
    number("param_groups", "layer_decay", layer_decay, "1 gives all layers the same rate", low=0, high=1, above=True)
    if "lr" not in options:
        raise TypeError("param_groups: layer_decay needs lr=, the learning rate of the last layer")
    lr = nonnegative("param_groups", "lr", options["lr"])
    found = layers_of(model) if layers is None else named_layers(model, layers)
    return [
        ([name for name in names if name in trainable], {"lr": lr * layer_decay ** (len(found) - 1 - i)})
        for i, names in enumerate(found)
    ]


def _line(number: int, own: Mapping[str, nn.Parameter], group: Mapping[str, Any]) -> str:
    rate = f"lr={group['lr']:.4g}, " if isinstance(group.get("lr"), int | float) else ""
    count = f"{len(own)} parameter{'s' * (len(own) > 1)} of {sum(p.numel() for p in own.values()):,} numbers"
    return f"  group {number}: {rate}weight_decay={group['weight_decay']:g}, {count}: {', '.join(own)}"
