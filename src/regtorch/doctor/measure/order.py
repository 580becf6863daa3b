"""Batches that hold one class each, or numbers in order."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from regtorch.doctor.finding import Finding
from regtorch.doctor.measure.label_form import IGNORED
from regtorch.doctor.observe.observed import Observed

__all__ = ["find"]

_BATCHES, _SAMPLES = 4, 4  # at least, and in each
_MIXED = 0.3  # of the classes' entropy over all batches
_ALONE = 0.7  # share of batches with a single class
_APART = 0.1  # of the numbers' variance, left within batches


def find(obs: Observed) -> Iterator[Finding]:
    """`batches_sorted`."""
    if obs.targets is None:
        return
    if obs.loss.task == "numbers":
        yield from _numbers(obs)
    if obs.loss.task not in ("classes", "binary"):
        return
    batches = [_labels(y) for _, y in obs.subject.batches]
    batches = [labels for labels in batches if len(labels) >= _SAMPLES]
    if len(batches) < _BATCHES:
        return
    whole, within = _entropy(torch.cat(batches)), sum(map(_entropy, batches)) / len(batches)
    if not within < _MIXED * whole:
        return
    alone = sum(len(labels.unique()) == 1 for labels in batches) / len(batches)
    yield Finding(
        "batches_sorted",
        "batches",
        "severe" if alone >= _ALONE else "warning",
        {"entropy_within": within, "entropy": whole, "share_of_one_class": alone},
        why=f"The samples are sorted by class: {alone:.0%} of the {len(batches)} batches have a single class, so every "
        "step unlearns what the steps before have learnt.",
        change="Shuffle the training set: `DataLoader(dataset, shuffle=True, …)`.",
        blame=10,
    )


def _numbers(obs: Observed) -> Iterator[Finding]:
    """Batches of numbers whose means rise or fall from each to the next."""
    batches = [y.double().flatten() for _, y in obs.subject.batches if y.numel() >= _SAMPLES]
    if len(batches) < _BATCHES or not all(bool(torch.isfinite(y).all()) for y in batches):
        return
    means, whole = torch.stack([y.mean() for y in batches]), float(torch.cat(batches).var())
    within = float(torch.stack([y.var() for y in batches]).mean())
    moves = means.diff()
    if not within < _APART * whole or not (bool((moves >= 0).all()) or bool((moves <= 0).all())):
        return
    yield Finding(
        "batches_sorted",
        "batches",
        "warning",
        {"variance_within": within, "variance": whole},
        why=f"The samples are sorted by their targets: {within / whole:.1%} of the targets' variance lies within "
        "batches, and batch means go one way, so every step unlearns what the steps before have learnt.",
        change="Shuffle the training set: `DataLoader(dataset, shuffle=True, …)`.",
        blame=10,
    )


def _labels(target: Tensor) -> Tensor:
    if target.ndim == 2 and target.shape[1] > 1:
        return target.argmax(1).cpu()
    labels = target.flatten().long().cpu()
    return labels[labels != IGNORED]


def _entropy(labels: Tensor) -> float:
    return float(torch.special.entr(torch.bincount(labels).double() / len(labels)).sum())
