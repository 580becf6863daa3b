"""Every rule on weights, bound to a net that may be cut into parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

import regtorch as rt
from cases import CONSTRAINTS, PENALTIES

Bind = Callable[[nn.Module], Any]


def _by_name(make: Callable[[torch.Size], Tensor], model: nn.Module, select: str = "kernel") -> dict[str, Tensor]:
    return {name: make(w.shape) for name, w in rt.select.weights(model, select).items()}


def _every_other(shape: torch.Size) -> Tensor:
    return (torch.arange(shape.numel()) % 2 == 0).view(shape)


def _submatrix(shape: torch.Size) -> Tensor:
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[::2, : max(1, shape[1] - 1)] = True
    return mask


def _far(shape: torch.Size) -> Tensor:
    return torch.linspace(-1, 1, shape.numel(), dtype=torch.float64).view(shape)


def _masked(rule: Any, mask: Callable[[torch.Size], Tensor] = _every_other) -> Bind:
    return lambda model: rt.masked(rule, _by_name(mask, model)).on(model)


def _far_start(model: nn.Module) -> Mapping[str, Tensor]:
    return _by_name(_far, model)


def _squares(model: nn.Module) -> Mapping[str, Tensor]:
    return _by_name(lambda shape: _far(shape).square(), model)


PENALTIES_ON: dict[str, Bind] = {name: case.rule.on for name, case in PENALTIES.items()}
PENALTIES_ON |= {
    "L2 of all": rt.L2(0.1, select="all").on,
    "GroupLasso of all": rt.GroupLasso(0.1, select="all").on,
    "GroupLasso dim 0": rt.GroupLasso(0.1, dim=0).on,
    "GroupLasso dims": rt.GroupLasso(0.1, dim=(0, 1)).on,
    "TotalVariation": rt.TotalVariation(0.1).on,
    "TotalVariation dim 0": rt.TotalVariation(0.1, dim=0).on,
    "FusedLasso": rt.FusedLasso(0.05, 0.1).on,
    "FusedLasso dim 0": rt.FusedLasso(0.05, 0.1, 0).on,
    "L2SP": rt.L2SP(0.1).on,
    "L2SP start": lambda model: rt.L2SP(0.1, start=_far_start(model)).on(model),
    "EWC": lambda model: rt.EWC(0.1, _squares(model), _far_start(model)).on(model),
    "masked L1": _masked(rt.L1(0.1)),
    "masked L2": _masked(rt.L2(0.1)),
    "masked GroupLasso": _masked(rt.GroupLasso(0.1)),
    "masked TotalVariation": _masked(rt.TotalVariation(0.1)),
    "masked NuclearNorm": _masked(rt.NuclearNorm(0.1), _submatrix),
    "masked L2SP": lambda model: rt.masked(rt.L2SP(0.1, start=_far_start(model)), _by_name(_every_other, model)).on(
        model
    ),
    "sum": lambda model: rt.L1(0.1).on(model) + rt.L2(0.2).on(model) + rt.GroupLasso(0.1).on(model),
}
CONSTRAINTS_ON: dict[str, Bind] = {name: case.rule.on for name, case in CONSTRAINTS.items()}
CONSTRAINTS_ON |= {
    "MaxNorm tight": rt.MaxNorm(0.3).on,
    "MaxNorm dim 0": rt.MaxNorm(0.3, dim=0).on,
    "MaxNorm of all": rt.MaxNorm(0.3, select="all").on,
    "UnitNorm dim 0": rt.UnitNorm(dim=0).on,
    "L1Ball tight": rt.L1Ball(0.3).on,
    "L1Ball dim 0": rt.L1Ball(0.3, dim=0).on,
    "Simplex dim 0": rt.Simplex(dim=0).on,
    "SpectralMax tight": rt.SpectralMax(0.3).on,
    "masked MaxNorm": _masked(rt.MaxNorm(0.3)),
    "masked NonNeg": _masked(rt.NonNeg()),
    "masked SpectralMax": _masked(rt.SpectralMax(0.3), _submatrix),
}
