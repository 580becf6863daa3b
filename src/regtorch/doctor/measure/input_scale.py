"""Inputs that training cannot cope with: not finite, badly scaled, constant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from regtorch.doctor.causes import Severity
from regtorch.doctor.finding import Finding
from regtorch.doctor.observe.attempt import attempt
from regtorch.doctor.observe.calls import without_dropout
from regtorch.doctor.observe.observed import NOT_FINITE, Observed
from regtorch.doctor.observe.restored import seed
from regtorch.doctor.observe.standardised import standardised_inputs
from regtorch.doctor.observe.statistics import root_mean_square, spread_and_mean
from regtorch.doctor.remedy import Remedy
from regtorch.init import NORMS

__all__ = ["find"]

_LARGE: tuple[tuple[float, Severity], ...] = ((20.0, "severe"), (5.0, "warning"))
_SMALL: tuple[tuple[float, Severity], ...] = ((0.02, "severe"), (0.1, "warning"))
_FLAT = 0.02  # of a feature's mean: a smaller spread drowns in what all samples share
_ABSORBED = 0.05  # change of the outputs, with a norm behind the first layer
_UNEQUAL = 30.0  # times the median feature
_ENOUGH = 32  # samples from which a constant feature is significant
_PASSED = nn.Flatten, nn.Unflatten, nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d
_RESCALING = *NORMS, nn.LocalResponseNorm


def find(obs: Observed) -> Iterator[Finding]:
    """Findings about the inputs; none unless they are floating-point numbers."""
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
        yield from _of_features(obs, taken)
    yield from _constant(x)


def _taken_in(obs: Observed) -> Tensor | None:
    """The first layer's inputs in training; None if a norm rescales them, or they are not finite."""
    taken = obs.inputs if obs.taken_in is None else obs.taken_in
    if obs.other_in_training:
        taken = obs.first_inputs[0]
    usable = taken is not None and taken.is_floating_point() and taken.numel() and bool(torch.isfinite(taken.sum()))
    return taken if usable and not _rescaled(obs) else None


def _not_finite(bad: int, total: int, harmless: bool) -> Finding:
    return Finding(
        "input_not_finite",
        "inputs",
        "info" if harmless else "severe",
        {"not_finite": bad, "share": bad / total},
        why=f"{bad} of {total} input numbers are NaN or infinite: "
        + ("the net replaces them; loss and gradients are finite." if harmless else "they spread to loss and weights."),
        change="Nothing if they mark missing values."
        if harmless
        else "Replace or drop missing values, and look for divisions by 0 in the preprocessing.",
        blame=1e6,
    )


def _rescaled(obs: Observed) -> bool:
    """Whether a norm layer sees the inputs first, which removes scale and offset."""
    first = next((c.module for c in obs.calls() if c.is_leaf and not isinstance(c.module, _PASSED)), None)
    return isinstance(first, _RESCALING)


def _is_absorbed(obs: Observed, rms: float) -> bool:
    """Whether inputs of a usual size give the same outputs in training, as before a norm behind the first layer."""
    x, y = obs.subject.batches[0]
    outputs: list[Tensor] = []
    with obs.subject.forward_only():
        for given in (x, x / rms):
            seed(0)
            without_dropout(obs.subject.model, training=True)
            outputs.append(replace(obs.subject, batches=[(given, y)]).output(0))
    if not all(isinstance(output, Tensor) for output in outputs):
        return False
    as_is, scaled = (output.double() for output in outputs)
    return as_is.shape == scaled.shape and float((as_is - scaled).norm()) < _ABSORBED * float(as_is.norm())


def _scale(obs: Observed, x: Tensor) -> Iterator[Finding]:
    rms = root_mean_square(x)
    if not rms:
        return  # all are 0, which _constant reports
    # Zeros of sparse inputs, such as bags of words, mean absence and do not count.
    present = rms / float((x != 0).float().mean()) ** 0.5
    numbers = {"rms": rms, "rms_of_nonzero": present, "smallest": float(x.min()), "largest": float(x.max())}
    large: Severity | None = next((severity for limit, severity in _LARGE if rms > limit), None)
    small: Severity | None = next((severity for limit, severity in _SMALL if present < limit), None)
    severity = large or small
    if severity is None or _is_absorbed(obs, rms):
        return
    if large:
        why = f"The inputs' root mean square is {rms:.3g}, but initialisations assume about 1: "
        why += "first outputs and gradients are too large by that factor."
        change = f"Standardise the inputs{_tried(obs)}: divide raw pixels by 255, or put a norm layer in front."
    else:
        why = f"The root mean square of the nonzero inputs is {present:.3g}, but initialisations assume about 1: "
        why += "the first layer sees little more than its bias, and its gradients are too small by that factor."
        change = f"Standardise the inputs{_tried(obs)}, and look for a division that is applied twice."
    yield Finding(
        "input_scale",
        "inputs",
        severity,
        numbers,
        why=why,
        change=change,
        remedy=Remedy("standardised inputs"),
        blame=rms if large else 1 / present,
    )


def _of_features(obs: Observed, x: Tensor) -> Iterator[Finding]:
    """One feature of a table that is many times as large as the others."""
    if x.ndim != 2 or x.shape[1] < 2 or len(x) < _ENOUGH:
        return
    present = (x != 0).double().sum(0)
    sizes = (x.double().square().sum(0) / present.clamp_min(1)).sqrt()[present > 0]
    if len(sizes) < 2:
        return
    usual = float(sizes.median())
    largest = int(sizes.argmax())
    if not float(sizes[largest]) > _UNEQUAL * usual > 0:
        return
    yield Finding(
        "feature_scale",
        "inputs",
        "warning",
        {"largest": float(sizes[largest]), "median": usual},
        why=f"A feature's root mean square is {float(sizes[largest]):.3g}, and half of the features have at most "
        f"{usual:.3g}: steps that suit the one are too small for the others.",
        change="Standardise each feature by the training set's mean and standard deviation" + f"{_tried(obs)}.",
        remedy=Remedy("standardised inputs"),
        blame=float(sizes[largest]) / usual,
    )


def _offset(obs: Observed, x: Tensor) -> Iterator[Finding]:
    if len(x) < 2:
        return
    spread, mean = (part.flatten() for part in spread_and_mean(x.double() if x.ndim < 3 else x.float()))
    moving = spread > 1e-7 * mean.abs()  # above rounding error
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
        why=f"{'All' if share == 1 else f'{share:.0%} of the'} varying features have a spread over samples of "
        f"{ratio:.2%} of their mean: what samples share hides what separates them.",
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
            why=f"{share:.1%} of the input features are constant in all {len(x)} samples.",
            change="Nothing if these are image borders or rare words; otherwise check how they are read."
            if share < 1
            else "All samples are the same: check how the inputs are read.",
            blame=share,
        )


def _tried(obs: Observed) -> str:
    standard = standardised_inputs(obs)
    return "" if standard is None else f" ({attempt(standard).summary})"
