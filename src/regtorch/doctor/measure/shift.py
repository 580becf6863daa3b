"""Dropout before a batch norm, by what it costs in evaluation: the norm's running variance holds dropout's noise."""

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
from regtorch.doctor.remedy import Remedy
from regtorch.doctor.watch.calls import DROPOUTS
from regtorch.doctor.watch.observed import Observed
from regtorch.doctor.watch.restored import restored, seed
from regtorch.doctor.watch.steps import watch_steps
from regtorch.doctor.watch.subject import Subject
from regtorch.select.weight import modules_of

__all__ = ["Harm", "at_rates", "found_shifts", "harm_of_dropout"]

_SHIFTED = 1.5  # times the variance, either way; 0.2 in front of a batch norm, which does little harm, gives 1.4
_SEVERE, _WARNING = 0.75, 0.5  # of what is learnt, lost in evaluation; early in training some of it always is
_BATCHES = 4
_MILD = 0.2  # the rate that is advised
_LEAST = 0.02  # of the loss of a constant output: less counts as nothing learnt


@dataclass(frozen=True)
class Harm:
    """What evaluation costs, after some steps of training.

    Attributes:
        constant: the loss of one output for all samples, their mean.
        own: in evaluation mode, with statistics that batch norms take without dropout.
        shifted: with those that they take under dropout, as in training.
    """

    constant: float
    own: float
    shifted: float

    @property
    def share(self) -> float:
        """The part of what was learnt that evaluation loses."""
        return (self.shifted - self.own) / max(self.constant - self.own, _LEAST * abs(self.constant), 1e-12)

    @property
    def severity(self) -> Severity:
        """Of that part."""
        return "severe" if self.share >= _SEVERE else "warning" if self.share >= _WARNING else "info"


def found_shifts(obs: Observed, ratios: Mapping[str, float], before: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
    """`dropout_before_batch_norm`, for each norm of which the variance under dropout is so many times that without."""
    far = any(max(ratio, 1 / ratio) > _SHIFTED for ratio in ratios.values())
    harm = harm_of_dropout(obs.subject, obs.steps) if far else None
    change, remedy = "Nothing.", None
    if harm is not None and harm.severity != "info":
        change, remedy = _tried(obs, {name for names in before.values() for name in names})
    for name, ratio in ratios.items():
        measured = harm if max(ratio, 1 / ratio) > _SHIFTED else None
        severity: Severity = measured.severity if measured is not None else "info"
        told = {} if measured is None else {"loss_in_evaluation": measured.shifted, "loss_without_shift": measured.own}
        said = "" if measured is None else f" After {obs.steps} steps the loss in evaluation is {measured.shifted:.3g},"
        said += "" if measured is None else f" and {measured.own:.3g} with statistics that are taken without dropout."
        yield Finding(
            "dropout_before_batch_norm",
            name,
            severity,
            {"variance_ratio": ratio, **told},
            why=f"The dropout before it ({', '.join(before[name])}) makes the variance that batch norm sees in training"
            f" {ratio:.2f} times that of evaluation, where its running variance is then wrong.{said}",
            change=change if severity != "info" else "Nothing: it does little harm.",
            remedy=remedy if severity != "info" else None,
            blame=1 - min(ratio, 1 / ratio),
        )


def _tried(obs: Observed, names: set[str]) -> tuple[str, Remedy]:
    dropouts = [module for name, module in modules_of(obs.subject.model).items() if name in names]
    rates = [float(getattr(module, "p", 0.0)) for module in dropouts]
    with at_rates(dropouts, [min(rate, _MILD) for rate in rates]):
        mild = harm_of_dropout(obs.subject, obs.steps)
    if max(rates, default=0.0) > _MILD and mild is not None and mild.severity == "info":
        return (
            f"Lower the dropout's rate to {_MILD:g} (tried: evaluation then costs {max(0.0, mild.share):.0%} of what "
            "is learnt), or put it behind the last batch norm.",
            Remedy("dropout rate", sorted(names), _MILD),
        )
    return "Put dropout behind the last batch norm.", Remedy("dropout rate", sorted(names))


@contextmanager
def at_rates(dropouts: Sequence[nn.Module], rates: Sequence[float]) -> Iterator[None]:
    """With other rates for a while."""
    before = [module.__dict__["p"] for module in dropouts]
    for module, rate in zip(dropouts, rates, strict=True):
        module.__dict__["p"] = rate
    try:
        yield
    finally:
        for module, rate in zip(dropouts, before, strict=True):
            module.__dict__["p"] = rate


def harm_of_dropout(subject: Subject, steps: int) -> Harm | None:
    """Measured after some steps; None where the outputs are no numbers, or the loss is not finite."""
    found: list[Harm | None] = []
    count = 0

    def at_the_end(subject: Subject) -> None:
        nonlocal count
        count += 1
        if count == 3:
            found.append(_measured(subject))

    with suppress(Unfit):
        watch_steps(subject, steps, look=at_the_end)
    return found[0] if found else None


def _measured(subject: Subject) -> Harm | None:
    own, shifted = (_losses(subject, dropping) for dropping in (False, True))
    if own is None or shifted is None:
        return None
    harm = Harm(own[1], own[0], shifted[0])
    return harm if all(map(isfinite, (harm.constant, harm.own, harm.shifted))) else None


def _losses(subject: Subject, dropping: bool) -> tuple[float, float] | None:
    """In evaluation mode, after the batch norms have taken their statistics anew; and of the mean output."""
    numbers = range(min(_BATCHES, len(subject.batches)))
    norms = [m for m in subject.model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    momenta = [norm.momentum for norm in norms]
    with restored(subject.model), torch.no_grad():
        seed(0)
        subject.model.train()
        for module in subject.model.modules():
            if isinstance(module, DROPOUTS):
                module.train(dropping)
        try:
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum = None  # the mean over all batches
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
