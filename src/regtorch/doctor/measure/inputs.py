"""Inputs that training cannot work with: not finite, far from the scale initialisations expect, or without spread."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from regtorch.doctor.causes import Severity
from regtorch.doctor.finding import Finding
from regtorch.doctor.remedy import Remedy
from regtorch.doctor.watch.attempt import attempt
from regtorch.doctor.watch.observed import NOT_FINITE, Observed, spread_and_mean
from regtorch.doctor.watch.standardised import standardised_inputs
from regtorch.init import NORMS

__all__ = ["find"]

_LARGE: tuple[tuple[float, Severity], ...] = ((20.0, "severe"), (5.0, "warning"))
_SMALL: tuple[tuple[float, Severity], ...] = ((0.02, "severe"), (0.1, "warning"))
_FLAT = 0.02  # of a feature's mean: less spread than that drowns in the part that all samples share
_ENOUGH = 32  # samples from which a feature that never changes says something
_PASSED = nn.Flatten, nn.Unflatten, nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d
_RESCALING = *NORMS, nn.LocalResponseNorm


def find(obs: Observed) -> Iterator[Finding]:
    """Findings about the inputs; none where they are no floating point numbers."""
    yield from _of_batches(obs)
    taken = _taken_in(obs)
    if taken is not None:
        yield from _offset(obs, taken)


def _of_batches(obs: Observed) -> Iterator[Finding]:
    x = obs.inputs
    if x is None or not x.is_floating_point() or not x.numel():
        return
    bad = {
        number: int((~torch.isfinite(x)).sum())
        for number, (x, _) in enumerate(obs.subject.batches)
        if not bool(torch.isfinite(x.sum()))
    }
    bad = {number: count for number, count in bad.items() if count}
    if bad:
        harmless = all(obs.is_finite_on(number) for number in list(bad)[:NOT_FINITE])
        yield _not_finite(sum(bad.values()), sum(x.numel() for x, _ in obs.subject.batches), harmless)
        if not harmless:
            return
    taken = _taken_in(obs)
    if taken is not None:
        yield from _scale(obs, taken)
    yield from _constant(x)


def _taken_in(obs: Observed) -> Tensor | None:
    """What the first layer takes in; None where a norm takes scale and offset away, or it is not finite."""
    taken = obs.inputs if obs.taken_in is None else obs.taken_in
    usable = taken is not None and taken.is_floating_point() and taken.numel() and bool(torch.isfinite(taken.sum()))
    return taken if usable and not _rescaled(obs) else None


def _not_finite(bad: int, whole: int, harmless: bool) -> Finding:
    return Finding(
        "input_not_finite",
        "inputs",
        "info" if harmless else "severe",
        {"not_finite": bad, "share": bad / whole},
        why=f"{bad} of {whole} input numbers are NaN or infinite: "
        + ("the net replaces them, loss and gradients are finite." if harmless else "loss and weights become so too."),
        change="Nothing where they stand for what is missing."
        if harmless
        else "Replace or leave out what is missing, and look for divisions by 0, before the net sees it.",
        blame=1e6,
    )


def _rescaled(obs: Observed) -> bool:
    """Whether a norm layer is the first to see the inputs: it takes scale and offset away."""
    first = next((c.module for c in obs.calls() if c.is_leaf and not isinstance(c.module, _PASSED)), None)
    return isinstance(first, _RESCALING)


def _scale(obs: Observed, x: Tensor) -> Iterator[Finding]:
    rms = _rms(x)
    if not rms:
        return  # all are 0, which _constant tells
    # Zeros of sparse inputs, such as bags of words, are what is absent and say nothing of the scale.
    present = rms / float((x != 0).float().mean()) ** 0.5
    numbers = {"rms": rms, "rms_of_nonzero": present, "smallest": float(x.min()), "largest": float(x.max())}
    large: Severity | None = next((severity for limit, severity in _LARGE if rms > limit), None)
    small: Severity | None = next((severity for limit, severity in _SMALL if present < limit), None)
    if large:
        yield Finding(
            "input_scale",
            "inputs",
            large,
            numbers,
            why=f"The inputs' root mean square is {rms:.3g} where initialisations expect about 1: "
            "first outputs and gradients are too large by as much.",
            change=f"Standardise the inputs{_tried(obs)}: divide raw pixels by 255, or put a norm layer in front.",
            remedy=Remedy("standardised inputs"),
            blame=rms,
        )
    elif small:
        yield Finding(
            "input_scale",
            "inputs",
            small,
            numbers,
            why=f"The root mean square of the inputs that are not 0 is {present:.3g} where initialisations expect "
            "about 1: the first layer sees hardly more than its bias, and its gradients are too small by as much.",
            change=f"Standardise the inputs{_tried(obs)}, and look for a division that is made twice.",
            remedy=Remedy("standardised inputs"),
            blame=1 / present,
        )


def _offset(obs: Observed, x: Tensor) -> Iterator[Finding]:
    if len(x) < 2:
        return
    spread, mean = (part.flatten() for part in spread_and_mean(x.double() if x.ndim < 3 else x.float()))
    moving = spread > 1e-7 * mean.abs()  # what is above rounding
    flat = moving & (spread < _FLAT * mean.abs())
    if not bool(moving.any()) or not bool(flat.any()):
        return
    share = float(flat.sum() / moving.sum())
    ratio = float((spread[flat] / mean[flat].abs()).median())
    yield Finding(
        "input_offset",
        "inputs",
        "severe" if share == 1 else "warning" if share > 0.5 else "info",
        {"share_of_features": share, "spread_over_mean": ratio},
        why=f"{'All' if share == 1 else f'{share:.0%} of the'} features that change at all spread over samples by "
        f"{ratio:.2%} of their mean: beside what all samples share, the net hardly sees what tells them apart.",
        change="Standardise: subtract each feature's mean over the training set and divide by its standard deviation"
        f"{_tried(obs)}.",
        remedy=Remedy("standardised inputs"),
        blame=share / ratio,
    )


def _constant(x: Tensor) -> Iterator[Finding]:
    if len(x) < _ENOUGH:
        return
    constant = (x == x[:1]).all(0)
    share = float(constant.float().mean())
    if share:
        yield Finding(
            "constant_features",
            "inputs",
            "info" if share < 1 else "severe",
            {"share_of_features": share, "samples": len(x)},
            why=f"{share:.1%} of the input features have one value in all {len(x)} samples examined.",
            change="Nothing where these are borders of pictures or rare words; otherwise look at how they are read."
            if share < 1
            else "All samples are the same: look at how the inputs are read.",
            blame=share,
        )


def _rms(x: Tensor) -> float:
    return float(torch.linalg.vector_norm(x, dtype=torch.float64) / x.numel() ** 0.5)


def _tried(obs: Observed) -> str:
    standard = standardised_inputs(obs)
    return "" if standard is None else f" ({attempt(standard).summary})"
