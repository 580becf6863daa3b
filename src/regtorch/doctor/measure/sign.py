"""A loss that rewards errors, or an optimizer that maximizes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from regtorch.doctor.finding import Finding
from regtorch.doctor.observe.attempt import attempt
from regtorch.doctor.observe.observed import Observed
from regtorch.doctor.remedy import Remedy

__all__ = ["find"]

_SURE = 0.98  # probability of the right class in artificial outputs


def find(obs: Observed) -> Iterator[Finding]:
    """`loss_sign`."""
    groups = () if obs.subject.optimizer is None else obs.subject.optimizer.param_groups
    loss, maximized = obs.subject.loss_fn, any(group.get("maximize") for group in groups)
    rewarded = _rewards_errors(obs)
    if rewarded is None or rewarded == maximized or obs.loss.broadcasts:  # which compares with other samples' targets
        return
    if maximized:
        why, change = "The optimizer maximizes the loss: every step raises the error.", "Remove `maximize`."
    else:
        why = "The loss of right outputs is larger than that of wrong ones: every step raises the error."
        tried = attempt(replace(obs.subject, loss_fn=lambda output, target: -loss(output, target)))
        change = f"Change the sign of the loss ({tried.summary})."
    yield Finding(
        "loss_sign",
        "optimizer" if maximized else "loss",
        "severe",
        {"sign": 1.0 if maximized else -1.0},
        why=why,
        change=change,
        remedy=Remedy("maximize", value=False) if maximized else None,
        blame=1000,
    )


def _rewards_errors(obs: Observed) -> bool | None:
    """Whether right outputs cost more than wrong ones; None if the loss does not tell them apart."""
    output, target = obs.outputs[0], obs.subject.batches[0][1]
    if obs.targets is None:
        return None
    if obs.loss.cross_entropy_sign:
        return obs.loss.cross_entropy_sign < 0
    if not isinstance(output, Tensor) or not output.is_floating_point() or not obs.loss.uses_targets:
        return None
    costs = [obs.loss.costs(target, right, wrong) for right, wrong in _right_and_wrong(output, target)]
    known = [pair for pair in costs if pair is not None]
    if not known or len(known) < len(costs):
        return None
    signs = {(right > wrong) - (right < wrong) for right, wrong in known}
    return signs == {1} if len(signs) == 1 and 0 not in signs else None


def _right_and_wrong(output: Tensor, target: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Artificial outputs that predict the targets, and others that miss them."""
    if not target.is_floating_point() and output.ndim > 1 and target.shape == output.shape[:1] + output.shape[2:]:
        classes = output.shape[1]
        if classes < 2 or bool(((target < 0) | (target >= classes)).any()):
            return []
        right = torch.full_like(output, (1 - _SURE) / (classes - 1)).scatter_(1, target.long()[:, None], _SURE)
        wrong = right.roll(1, 1)
        return [(right, wrong)]
    if target.numel() != output.numel() or not bool(torch.isfinite(target.double()).all()):
        return []
    y = target.to(output).reshape(output.shape)
    if bool(((y == 0) | (y == 1)).all()):
        right = y * (2 * _SURE - 1) + 1 - _SURE
        return [(right, 1 - right)]
    spread = float(y.double().std(correction=0)) or 1.0
    return [(y, y + spread), (y, y - spread), (y, y - 10 * spread), (y, y + 10 * spread)]
