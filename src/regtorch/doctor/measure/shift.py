"""Dropout before a batch norm, by its cost in evaluation: the running variance includes dropout's noise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import isfinite
from statistics import fmean

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from regtorch.doctor.causes import Severity
from regtorch.doctor.finding import Finding, Unfit
from regtorch.doctor.observe.calls import DROPOUTS
from regtorch.doctor.observe.observed import Observed
from regtorch.doctor.observe.restored import forward_only, seed
from regtorch.doctor.observe.steps import after_steps
from regtorch.doctor.observe.subject import Subject
from regtorch.doctor.remedy import NoNumber, Remedy
from regtorch.select.weight import modules_of

__all__ = ["MILD", "Harm", "at_rates", "found_shifts", "harm_of_dropout"]

_SHIFTED = 1.5  # ratio of variances, either way; a harmless rate of 0.2 gives 1.4
_SEVERE, _WARNING = 0.75, 0.5  # of what is learnt, lost in evaluation; early in training some always is
_BATCHES = 4
MILD = 0.2
"""The advised dropout rate."""
_LEAST = 0.02  # of the loss of a constant output: learning less is no learning


@dataclass(frozen=True)
class Harm:
    """Losses in eval mode after some steps of training."""

    constant: float  # of the mean output for all samples
    own: float  # with batch-norm statistics taken without dropout
    shifted: float  # with statistics taken under dropout, as in training

    @property
    def share(self) -> float:
        """The share of the loss reduction that evaluation loses."""
        return (self.shifted - self.own) / max(self.constant - self.own, _LEAST * abs(self.constant), 1e-12)

    @property
    def severity(self) -> Severity:
        return "severe" if self.share >= _SEVERE else "warning" if self.share >= _WARNING else "info"


def found_shifts(obs: Observed, ratios: Mapping[str, float], before: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
    """`dropout_before_batch_norm`, by the ratio of each norm's variances with and without dropout."""
    far = any(max(ratio, 1 / ratio) > _SHIFTED for ratio in ratios.values())
    harm = harm_of_dropout(obs.subject, obs.steps) if far else None
    change, remedy = "Nothing.", None
    if harm is not None and harm.severity != "info":
        change, remedy = _tried(obs, {name for names in before.values() for name in names})
    for name, ratio in ratios.items():
        measured = harm if max(ratio, 1 / ratio) > _SHIFTED else None
        severity: Severity = measured.severity if measured is not None else "info"
        numbers, cost = {"variance_ratio": ratio}, ""
        if measured is not None:
            numbers |= {"loss_in_evaluation": measured.shifted, "loss_without_shift": measured.own}
            cost = f" After {obs.steps} steps the loss in evaluation is {measured.shifted:.3g}, "
            cost += f"and {measured.own:.3g} with statistics taken without dropout."
        yield Finding(
            "dropout_before_batch_norm",
            name,
            severity,
            numbers,
            why=f"Because of the dropout before it ({', '.join(before[name])}), the variance in training is "
            f"{ratio:.2f} times that in evaluation, where the running variance is then wrong.{cost}",
            change=change if severity != "info" else "Nothing: it does little harm.",
            remedy=remedy if severity != "info" else None,
            blame=1 - min(ratio, 1 / ratio),
        )


def _tried(obs: Observed, names: set[str]) -> tuple[str, Remedy]:
    dropouts = [module for name, module in modules_of(obs.subject.model).items() if name in names]
    rates = [float(getattr(module, "p", 0.0)) for module in dropouts]
    with at_rates(dropouts, [min(rate, MILD) for rate in rates]):
        mild = harm_of_dropout(obs.subject, obs.steps)
    if max(rates, default=0.0) > MILD and mild is not None and mild.severity == "info":
        return (
            f"Lower the dropout rate to {MILD:g} (tried: evaluation then loses {max(0.0, mild.share):.0%} of what is "
            "learnt), or move it after the last batch norm.",
            Remedy("dropout rate", sorted(names), MILD),
        )
    kept = NoNumber("no lower rate tried keeps evaluation right; the layer belongs after the last batch norm")
    return "Move dropout after the last batch norm.", Remedy("dropout rate", sorted(names), kept)


@contextmanager
def at_rates(dropouts: Sequence[nn.Module], rates: Sequence[float]) -> Iterator[None]:
    """Set other dropout rates for a while."""
    before = [module.__dict__["p"] for module in dropouts]
    for module, rate in zip(dropouts, rates, strict=True):
        module.__dict__["p"] = rate
    try:
        yield
    finally:
        for module, rate in zip(dropouts, before, strict=True):
            module.__dict__["p"] = rate


def harm_of_dropout(subject: Subject, steps: int) -> Harm | None:
    """Measured after some steps; None if outputs are not floats, or a loss is not finite."""
    with suppress(Unfit):
        return after_steps(subject, steps, _measured)
    return None


def _measured(subject: Subject) -> Harm | None:
    own, shifted = (_losses(subject, dropping) for dropping in (False, True))
    if own is None or shifted is None:
        return None
    harm = Harm(own[1], own[0], shifted[0])
    return harm if all(map(isfinite, (harm.constant, harm.own, harm.shifted))) else None


def _losses(subject: Subject, dropping: bool) -> tuple[float, float] | None:
    """The losses, in eval mode with recomputed batch-norm statistics, of the outputs and of their mean."""
    numbers = range(min(_BATCHES, len(subject.batches)))
    norms = [m for m in subject.model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    momenta = [norm.momentum for norm in norms]
    with forward_only(subject.model):
        seed(0)
        subject.model.train()
        for module in subject.model.modules():
            if isinstance(module, DROPOUTS):
                module.train(dropping)
        try:
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum = None  # average over all batches
            for number in numbers:
                subject.output(number)
            subject.model.eval()
            outputs = [subject.output(number) for number in numbers]
        finally:
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum
        if not all(isinstance(output, Tensor) and output.is_floating_point() and output.ndim for output in outputs):
            return None
        targets = [subject.batch(number)[1] for number in numbers]
        mean = torch.stack([output.mean(0) for output in outputs]).mean(0)
        pairs = list(zip(outputs, targets, strict=True))
        losses = [float(subject.task_loss(output, y)) for output, y in pairs]
        constant = [float(subject.task_loss(mean.expand_as(output).clone(), y)) for output, y in pairs]
    return fmean(losses), fmean(constant)
