"""Inputs that a net changes in training only, such as a division by 255 under `if self.training`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from math import isfinite
from statistics import fmean

from regtorch.doctor.causes import Severity
from regtorch.doctor.finding import Finding, Unfit, fmt
from regtorch.doctor.observe.calls import entering
from regtorch.doctor.observe.observed import Observed
from regtorch.doctor.observe.statistics import root_mean_square
from regtorch.doctor.observe.steps import after_steps
from regtorch.doctor.observe.two_modes import FAR, differ, is_scaled

__all__ = ["find"]

_SEVERE, _WARNING = 0.75, 0.25  # of what is learnt, lost in evaluation
_BATCHES = 4


def find(obs: Observed) -> Iterator[Finding]:
    """`other_inputs_in_evaluation`, where the first layer receives other numbers than in training."""
    trained, evaluated = obs.first_inputs
    if trained is None or evaluated is None or not obs.other_in_training:
        return
    numbers = {
        "mean_in_training": float(trained.double().mean()),
        "rms_in_training": root_mean_square(trained),
        "mean_in_evaluation": float(evaluated.double().mean()),
        "rms_in_evaluation": root_mean_square(evaluated),
    }
    lost, cost = 0.0, ""
    if (losses := _after_steps(obs)) is not None:
        as_is, alike = losses
        start = obs.with_rules.mean_task_loss(slice(1))
        numbers |= {"loss_in_evaluation": as_is, "loss_with_training_inputs": alike}
        lost = (as_is - alike) / max(start - alike, 0.02 * abs(start), 1e-12)
        cost = f" After {obs.steps} steps the loss in evaluation is {as_is:.3g}, and {alike:.3g} with the inputs of "
        cost += "training."
    far = differ(trained, evaluated, FAR) and is_scaled(trained, evaluated)
    if lost < _WARNING and not far:
        return
    severity: Severity = "severe" if lost >= _SEVERE else "warning"
    yield Finding(
        "other_inputs_in_evaluation",
        next((name for name, module in obs.subject.model.named_modules() if module is obs.first_layer), ""),
        severity,
        numbers,
        why=f"The first layer receives numbers of mean {fmt(numbers['mean_in_training'])} and root mean square "
        f"{fmt(numbers['rms_in_training'])} in training, and {fmt(numbers['mean_in_evaluation'])} and "
        f"{fmt(numbers['rms_in_evaluation'])} for the same samples in evaluation.{cost}",
        change="Scale the inputs alike in both modes; only random changes belong under `if self.training`.",
        blame=max(lost, 0.0),
    )


def _after_steps(obs: Observed) -> tuple[float, float] | None:
    """The losses in eval mode after the watched steps: as they are, and with the first layer's inputs of training."""
    with suppress(Unfit, RuntimeError):
        losses = after_steps(obs.subject, obs.steps, lambda _: _losses(obs))
        return losses if losses is not None and all(map(isfinite, losses)) else None
    return None


def _losses(obs: Observed) -> tuple[float, float]:
    assert obs.first_layer is not None
    pairs: list[tuple[float, float]] = []
    for number in range(min(_BATCHES, len(obs.subject.batches))):
        trained, _ = entering(obs.subject, obs.first_layer, number, training=True)
        outputs = [entering(obs.subject, obs.first_layer, number, other=other)[1] for other in (None, trained)]
        as_is, alike = (float(obs.subject.task_loss(output, obs.subject.batch(number)[1])) for output in outputs)
        pairs.append((as_is, alike))
    return fmean(a for a, _ in pairs), fmean(b for _, b in pairs)
