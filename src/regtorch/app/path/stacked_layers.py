"""Replacements for PyTorch's layers in a stacked net: fast dense layers, and dropout with a rate per member."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrize import is_parametrized

from regtorch.app.ground.errors import RunError
from regtorch.app.path.draws import Draws
from regtorch.nn import SpatialDropout1D, SpatialDropout2D, SpatialDropout3D

__all__ = ["MemberDropout", "rates_of", "stackable"]

_Drop = Callable[[Tensor, float], Tensor]


def _feature(ones: Tensor, rate: float) -> Tensor:
    return torch.feature_dropout(ones, rate, True)


_DROPS: dict[type[nn.Module], _Drop] = {
    nn.Dropout: lambda ones, rate: F.dropout(ones, rate, True),
    nn.Dropout1d: lambda ones, rate: F.dropout1d(ones, rate, True),
    nn.Dropout2d: lambda ones, rate: F.dropout2d(ones, rate, True),
    nn.Dropout3d: lambda ones, rate: F.dropout3d(ones, rate, True),
    SpatialDropout1D: _feature,
    SpatialDropout2D: _feature,
    SpatialDropout3D: _feature,
}


class Dense(nn.Linear):
    """`nn.Linear` computed as weight times input.

    Stacked weights then need no copy: members with shared inputs become one matrix product, others a batch of products,
    and gradients have the layout of the weights.
    """

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim != 2:
            return super().forward(input)
        if self.bias is None:
            return (self.weight @ input.mT).mT
        return torch.addmm(self.bias.unsqueeze(-1), self.weight, input.mT).mT


class MemberDropout(nn.Module):
    """Dropout with a rate per member and masks from the same random numbers; `drop` makes a mask of ones."""

    def __init__(self, drop: _Drop, rates: Sequence[float], draws: Draws) -> None:
        super().__init__()
        self._drop = drop
        self.rates = list(rates)
        self.draws = draws
        self.which: Tensor
        self.register_buffer("which", torch.zeros((), dtype=torch.int64))
        self._number_masks()

    def _number_masks(self) -> None:
        """Number the different masks; `rows` is the mask of each member."""
        self._levels = sorted(set(self.rates))
        kinds = [
            seed * len(self._levels) + self._levels.index(rate)
            for seed, rate in zip(self.draws.of_member, self.rates, strict=True)
        ]
        self.rows = torch.tensor(kinds)

    def keep(self, rows: Sequence[int]) -> None:
        """Keep some of the members."""
        self.rates = [self.rates[row] for row in rows]
        self._number_masks()

    def forward(self, x: Tensor) -> Tensor:
        """Drop in training; inside vmap `which` is the index of the member's mask."""
        if not self.training or self._levels == [0.0]:
            return x
        ones = torch.ones(x.shape, dtype=x.dtype, device=x.device)
        kept = [partial(self._drop, ones, rate) for rate in self._levels]
        masks = [
            mask for seed in self.draws.each(lambda _: torch.stack(self.draws.from_same_state(kept))) for mask in seed
        ]
        if len(masks) == 1:
            return x * masks[0]
        # torch 2.9 turns a 0-dim index into a Python number, which vmap refuses.
        return x * torch.stack(masks)[self.which.view(1)].squeeze(0)

    def extra_repr(self) -> str:
        return f"rates={self._levels}"


def rates_of(net: nn.Module) -> dict[str, float]:
    """The rate of each layer that can have a rate per member, by name."""
    return {
        name: float(layer.p if hasattr(layer, "p") else layer.rate)  # pyright: ignore[reportArgumentType]
        for name, layer in net.named_modules()
        if type(layer) in _DROPS
    }


def fixed_rates(net: nn.Module) -> dict[str, float]:
    """The rate of each other dropout layer, such as `nn.AlphaDropout`."""
    rates = ((name, getattr(layer, "p", None)) for name, layer in net.named_modules() if type(layer) not in _DROPS)
    return {name: float(rate) for name, rate in rates if isinstance(rate, float | int)}


def stackable(net: nn.Module, rates: Sequence[Mapping[str, float]], draws: Draws) -> nn.Module:
    """A copy of `net` with the layers above; `rates` has `rates_of` each member's net."""
    net = copy.deepcopy(net)
    if type(net) in _DROPS:
        raise RunError(f"a path needs a net, received a single {type(net).__name__}")
    replaced: dict[int, nn.Module] = {}  # a layer that is used twice stays shared
    for path, module in list(net.named_modules()):
        for name, child in list(module.named_children()):
            if id(child) not in replaced:
                where = f"{path}.{name}" if path else name
                replaced[id(child)] = _replaced(child, [of_member.get(where, 0.0) for of_member in rates], draws)
            setattr(module, name, replaced[id(child)])
    return net


def _replaced(layer: nn.Module, rates: Sequence[float], draws: Draws) -> nn.Module:
    plain = not (layer._forward_hooks or layer._forward_pre_hooks or is_parametrized(layer))
    if type(layer) is nn.Linear and plain:
        layer.__class__ = Dense  # keeps everything else
        return layer
    drop = _DROPS.get(type(layer))
    if drop is None or not plain:
        return layer
    return MemberDropout(drop, rates, draws)
