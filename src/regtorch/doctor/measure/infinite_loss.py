"""A loss that is not finite before any step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from regtorch.doctor.finding import Finding, fmt
from regtorch.doctor.observe.attempt import Attempt, attempt, first_that_learns
from regtorch.doctor.observe.observed import Observed, joined

__all__ = ["infinite_loss"]


def infinite_loss(obs: Observed) -> Finding:
    """`diverges`: the loss of finite outputs has no value there, or something that it gets is not finite."""
    numbers = {"steps": 0, "without_penalties": float(obs.alone.diverged)}
    why = "The loss is not finite before the first step, so the learning rate is not the cause."
    change = "Look for NaN or infinite numbers in inputs, targets and weights."
    outputs, targets = joined(obs.outputs), obs.targets
    given = (outputs, targets)
    if outputs is not None and outputs.numel() and all(x is not None and bool(torch.isfinite(x).all()) for x in given):
        low, high = float(outputs.min()), float(outputs.max())
        why += f" The outputs are finite and range from {fmt(low)} to {fmt(high)}, and so are the targets: the loss "
        why += "takes a logarithm, a root or a quotient where there is none."
        change = first_that_learns(_activated(obs)) or (
            "Keep what the loss takes the logarithm, root or quotient of away from 0, and pass it outputs of the range "
            "that it expects."
        )
    return Finding("diverges", "loss", "severe", numbers, why=why, change=change, blame=1e6)


def _activated(obs: Observed) -> list[tuple[str, Callable[[], Attempt]]]:
    loss = obs.subject.loss_fn

    def tried(act: Callable[[Tensor], Tensor]) -> Attempt:
        return attempt(replace(obs.subject, loss_fn=lambda output, target: loss(act(output), target)))

    softmax = "The loss takes probabilities: end the net with nn.Softmax(1), or use nn.CrossEntropyLoss() without it"
    sigmoid = "The loss takes probabilities: end the net with nn.Sigmoid(), or use nn.BCEWithLogitsLoss() without it"
    wide = all(isinstance(o, Tensor) and o.ndim > 1 and o.shape[1] > 1 for o in obs.outputs)
    if obs.targets is not None and bool((obs.targets > 1).any()) and obs.targets.is_floating_point():
        positive = "The loss takes numbers above 0: end the net with nn.Softplus(), or pass a loss that takes their "
        return [(f"{positive}logarithm", partial(tried, F.softplus))]
    return [
        *([(softmax, partial(tried, lambda output: output.softmax(1)))] if wide else []),
        (sigmoid, partial(tried, torch.sigmoid)),
    ]
