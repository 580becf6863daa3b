"""Classes, or one of two targets, whose samples have no gradient whatever the net outputs."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from regtorch.doctor.finding import Finding, Refused, Unfit
from regtorch.doctor.observe.observed import Observed
from regtorch.doctor.observe.restored import seed

__all__ = ["find"]

_CLASSES = 1000  # at most: of more, a batch has few samples each
_SPREADS = 0.01, 1.0  # of artificial outputs: a margin that is kept by one of them is not kept by all


def find(obs: Observed) -> Iterator[Finding]:
    """`ignored_targets`: classes under a loss of class indices, or one of two targets of a loss of pairs."""
    output, target = obs.outputs[0], obs.subject.batches[0][1]
    if not isinstance(output, Tensor) or output.ndim < 2 or target.ndim != 1 or len(output) != len(target):
        return
    classes = not target.is_floating_point()
    values = target.unique()
    if classes and (output.ndim > 2 or bool(((values < 0) | (values >= output.shape[1])).any())):
        return  # positions are padded on purpose, and indices without an output are marks
    if not 1 < len(values) <= (_CLASSES if classes else 2) or not obs.loss.uses_targets:
        return
    counted = _counted(obs, output, target)
    if counted is None:
        return
    ignored = [value for value in values.tolist() if not bool(counted[target == value].any())]
    if not ignored or len(ignored) == len(values):
        return
    share = float(sum((target == value).double().mean() for value in ignored))
    named = ", ".join(f"{value:g}" for value in ignored[:4]) + ", …" * (len(ignored) > 4)
    what = ("class " if len(ignored) == 1 else "classes ") if classes else "target "
    yield Finding(
        "ignored_targets",
        "targets",
        "warning" if classes else "severe",
        {"share": share, "classes" if classes else "values": len(ignored)},
        why=f"The loss has no gradient at the samples of {what}{named}, {share:.0%} of a batch, whatever the net "
        "outputs: they are not learnt.",
        change="If the net is to tell it apart, look for an `ignore_index` that is a class, and for class weights of 0."
        if classes
        else "Look up which targets the loss takes: losses of pairs and margins take -1 and 1, `2 * target - 1`.",
        blame=1e3 * share,
    )


def _counted(obs: Observed, output: Tensor, target: Tensor) -> Tensor | None:
    """The samples at whose outputs the loss has a gradient; None if it has none at all, or rejects outputs."""
    noise = torch.randn(output.shape, generator=torch.Generator().manual_seed(0), device="cpu").to(output)
    counted = torch.zeros(len(output), dtype=torch.bool, device=output.device)
    with obs.subject.restored():
        for drawn in (output.detach(), *(spread * noise + 0.1 for spread in _SPREADS), noise.sigmoid()):
            given = drawn.clone().requires_grad_()
            seed(0)
            try:
                loss = obs.subject.task_loss(given, target)
            except (Unfit, Refused):
                return None
            if not loss.requires_grad:
                return None
            (slope,) = torch.autograd.grad(loss, given, allow_unused=True)
            if slope is None or not bool(torch.isfinite(slope).all()):
                return None
            counted |= slope.flatten(1).ne(0).any(1)
    return counted if bool(counted.any()) else None
