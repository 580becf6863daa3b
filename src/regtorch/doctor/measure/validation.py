"""A validation set that is not informative: it contains training samples, or too few samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import sqrt
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from regtorch.doctor.finding import Finding
from regtorch.doctor.observe.correlation import drawn
from regtorch.doctor.remedy import Remedy

__all__ = ["find"]

# Distances are those of random projections, relative to that of two random samples.
_WIDTH, _PIXELS = 32, 32
_IDENTICAL, _NEAR = 1e-3, 0.03  # real photographs of a series are 0.1 apart
_MOST, _ASKED = 100_000, 400  # training samples, and validation samples whose nearest neighbour is searched
_TOGETHER = 2048  # samples per block that fit into a CPU cache
_LOW = 8  # features: with fewer, samples are close or equal by chance
_DEVIATIONS = 3  # standard deviations within which shares differ by chance
_LEAKS, _REPEATS, _MANY = 0.01, 0.05, 0.2  # shares of the validation set
_FEW = 1000, 100


def find(train: Iterable[Any], val: Iterable[Any], *, classes: bool) -> Iterator[Finding]:
    """`validation_leak` and `validation_noise`, from all batches without augmentation; `classes`: score by accuracy."""
    sketch = _Sketch()
    ours, count = sketch(val), sketch.samples
    yield from _noise(count, classes)
    if ours is None:
        return
    theirs = sketch(train)
    if theirs is not None:
        yield from _leak(ours, theirs, sketch.features)


class _Sketch:
    """Projects every sample onto the same few random directions, after downscaling images."""

    def __init__(self) -> None:
        self.features = 0
        self.samples = 0
        self._directions: Tensor | None = None

    def __call__(self, batches: Iterable[Any]) -> Tensor | None:
        """The samples' projections (N, width); None unless inputs are finite numbers of one shape."""
        parts: list[Tensor] = []
        self.samples, comparable = 0, True
        for x, y in batches:
            self.samples += len(y)
            part = self._project(x) if comparable and isinstance(x, Tensor) else None
            comparable = part is not None
            if part is not None:
                parts.append(part)
            if sum(map(len, parts)) >= _MOST:
                break
        return torch.cat(parts) if comparable and parts else None

    @torch.no_grad()
    def _project(self, x: Tensor) -> Tensor | None:
        x = x.detach().cpu().float()
        if x.ndim == 4 and min(x.shape[2:]) > _PIXELS:
            x = F.adaptive_avg_pool2d(x, _PIXELS)
        x = x.flatten(1)
        directions = self._directions
        if directions is None:
            own = torch.Generator().manual_seed(0)
            directions = drawn(own, x.shape[1], _WIDTH) / max(1, x.shape[1]) ** 0.5
            self._directions, self.features = directions, x.shape[1]
        if x.shape[1] != len(directions):
            return None
        projected = x @ directions
        return projected if bool(torch.isfinite(projected).all()) else None


def _leak(val: Tensor, train: Tensor, features: int) -> Iterator[Finding]:
    mean = train.mean(0)
    val, train = val - mean, train - mean
    typical = float(train.square().sum(1).mean() * 2) ** 0.5
    if not typical:  # all samples are equal, which measure.inputs reports
        return
    own = torch.Generator().manual_seed(0)
    asked = val[torch.randperm(len(val), generator=own, device=own.device)[:_ASKED]]
    some = torch.randperm(len(train), generator=own, device=own.device)[:_ASKED]
    nearest = _nearest(asked, train) / typical
    among = _nearest(train[some], train, some) / typical
    limit = _NEAR if features >= _LOW else _IDENTICAL
    share, identical, repeats = _below(nearest, limit), _below(nearest, _IDENTICAL), _below(among, limit)
    both = (share * len(nearest) + repeats * len(among)) / (len(nearest) + len(among))
    chance = _DEVIATIONS * sqrt(both * (1 - both) * (1 / len(nearest) + 1 / len(among)))
    leaks = share - repeats >= max(_LEAKS, chance)
    if not leaks and (share < _REPEATS or features < _LOW):
        return
    known = f"{share:.0%} of the validation samples are among the training samples ({identical:.0%} exactly)"
    yield Finding(
        "validation_leak",
        "validation",
        "severe" if leaks and share - repeats >= _MANY else "warning",
        {"share": share, "identical": identical, "repeats_in_training": repeats, "samples": len(asked)},
        why=f"{known}: memorising them raises the score, which regularization is meant to prevent."
        if leaks
        else f"{known}, as often as training samples repeat each other: the score is too optimistic.",
        change="Train without the validation samples."
        if leaks
        else "Remove duplicates before splitting the data, and oversample or augment afterwards.",
        remedy=Remedy("split"),
        blame=share,
    )


def _nearest(asked: Tensor, among: Tensor, own: Tensor | None = None) -> Tensor:
    """The distance from each of `asked` to the nearest of `among`, excluding index `own`."""
    best = asked.new_full((len(asked),), torch.inf)
    at = asked.new_zeros(len(asked), dtype=torch.long)
    for start in range(0, len(among), _TOGETHER):
        part = among[start : start + _TOGETHER]
        squares = torch.addmm(part.square().sum(1), asked, part.T, alpha=-2)  # without ‖asked‖², the same for all
        if own is not None:
            here = ((own >= start) & (own < start + len(part))).nonzero().flatten()
            squares[here, own[here] - start] = torch.inf
        least, where = squares.min(1)
        nearer = least < best
        best, at = least.where(nearer, best), (where + start).where(nearer, at)
    return torch.linalg.vector_norm(asked - among[at], dim=1)  # recomputed, as the sum above is inexact


def _below(distances: Tensor, limit: float) -> float:
    return float((distances < limit).float().mean())


def _noise(samples: int, classes: bool) -> Iterator[Finding]:
    if not 0 < samples < _FEW[0]:
        return
    if classes:
        errors = {share: sqrt(share * (1 - share) / samples) for share in (0.5, 0.95)}
        apart = 2 * sqrt(2) * errors[0.5]
        numbers = {"samples": samples, "standard_error_at_0.5": errors[0.5], "standard_error_at_0.95": errors[0.95]}
        why = f"With {samples} validation samples the standard error of an accuracy is {errors[0.5]:.3f} near 0.5 and "
        why += f"{errors[0.95]:.3f} near 0.95: two runs can differ by {apart:.2f} and {2 * sqrt(2) * errors[0.95]:.2f} "
        why += "by chance."
    else:
        error = sqrt(2 / samples)
        numbers = {"samples": samples, "relative_standard_error_of_loss": error}
        why = f"With {samples} validation samples the standard error of a squared error is {error:.0%} of its value."
    yield Finding(
        "validation_noise",
        "validation",
        "warning" if samples < _FEW[1] else "info",
        numbers,
        why=why,
        change="Average runs over several seeds, cross-validate, or hold out more samples for validation.",
        blame=1 / samples,
    )
