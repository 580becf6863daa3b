"""Running statistics of batch norms that are not those of the batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import exp

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from regtorch.doctor.along.course import Sign
from regtorch.doctor.along.passes import Statistics
from regtorch.select.weight import modules_of

__all__ = ["Running"]

_AWAY = 1.0  # of the batch's deviation: root mean square over units of the difference of the means
_TIMES = 4.0  # the geometric mean over units of the ratio of variances
_FILLED = 5.0  # times the number of batches that running statistics average
_FEWEST, _MOST = 50, 1000  # batches after which they must be filled


class Running:
    """`batch_norm_lag`."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model

    @torch.no_grad()
    def signs(self, norms: Mapping[str, Statistics]) -> Iterator[Sign]:
        modules = modules_of(self._model)
        for name, found in norms.items():
            module = modules.get(name)
            if not isinstance(module, _BatchNorm) or module.num_batches_tracked is None:
                continue
            filled = min(max(_FEWEST, _FILLED / (module.momentum or 1.0)), _MOST)
            if float(module.num_batches_tracked) < filled:
                continue
            alive = (found.var > 1e-12 * (1 + found.mean.square())) & (found.running_var > 0)
            if not bool(alive.any()):
                continue
            var, running = found.var[alive], found.running_var[alive]
            away = float(((found.mean - found.running_mean)[alive].square() / (var + module.eps)).mean().sqrt())
            times = exp(float(((running + module.eps) / (var + module.eps)).log().abs().mean()))
            if away >= _AWAY or times >= _TIMES:
                yield Sign(
                    "batch_norm_lag",
                    name,
                    "warning",
                    {"means_apart": away, "variances_apart": times, "momentum": module.momentum or 0.0},
                    why=f"The running means of {name} are {away:.2g} of the batch's standard deviations from the "
                    f"batch's means, and variances differ by a factor of {times:.3g}: in evaluation the net computes "
                    "something else than in training.",
                    change="Raise the momentum of the batch norm (0.1 is torch's own), lower the learning rate, or "
                    "look for batches of different sources.",
                    patience=5,
                    blame=max(away, times),
                )
