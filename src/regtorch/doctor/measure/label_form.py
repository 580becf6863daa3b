"""Labels of another form than the loss takes: rows for classes, other dtypes and shapes, numbers without an output."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from regtorch.doctor.finding import Finding
from regtorch.doctor.measure.constant_loss import of_one_output, takes_softmax_of_one
from regtorch.doctor.watch.attempt import Attempt, attempt, first_that_learns
from regtorch.doctor.watch.batches import form
from regtorch.doctor.watch.observed import Observed

__all__ = ["IGNORED", "form_of", "is_one_hot", "one_hot", "range_of", "with_targets"]

IGNORED = -100
"""The number that torch's losses leave out."""
_MANY = 10_000  # classes: outputs for more are not tried, as they might not fit into memory


def with_targets(obs: Observed, change: Callable[[Tensor], Tensor]) -> Attempt:
    """Train for some steps on other targets."""
    x, y = obs.subject.batches[0]
    try:
        return attempt(replace(obs.subject, batches=[(x, change(y))]))
    except RuntimeError:  # such as a shape that does not fit
        return Attempt()


# Rows


def is_one_hot(target: Tensor, output: Tensor) -> bool:
    """Whether the targets are rows with a single 1, one for each output."""
    if target.ndim != 2 or target.shape[1] < 2 or target.shape[1:] != output.shape[1:] or target.is_complex():
        return False
    return bool(((target == 0) | (target == 1)).all() and (target.sum(1) == 1).all())


def one_hot(obs: Observed) -> Iterator[Finding]:
    """`one_hot_labels`."""
    output, target = obs.outputs[0], obs.subject.batches[0][1]
    taken = obs.loss.cost(output, target) is not None
    if taken and not obs.loss.is_cross_entropy:  # rows with several 1 may come, and the loss is made for them
        return
    if taken:
        change: str | None = "Nothing; class numbers, `target.argmax(1)`, take less memory."
    else:
        change = first_that_learns(
            [
                ("Give it class numbers, `target.argmax(1)`", lambda: with_targets(obs, lambda y: y.argmax(1))),
                (
                    "Give it `target.to(output.dtype)`",
                    lambda: with_targets(obs, lambda y: y.to(output.dtype)),
                ),
            ]
        )
    yield Finding(
        "one_hot_labels",
        "labels",
        "info" if taken else "severe",
        {"classes": output.shape[1]},
        why="The labels are rows with a single 1"
        + (": the loss takes them, and class numbers say the same." if taken else ", which the loss does not take."),
        change=change or "Give the loss labels of the form that it is made for; class numbers are `target.argmax(1)`.",
        blame=100,
    )


# Dtypes and shapes


def form_of(obs: Observed) -> Iterator[Finding]:
    """`label_form`: targets that the loss refuses, where it takes them, and learns, in another dtype or shape."""
    output, target = obs.outputs[0], obs.subject.batches[0][1]
    if obs.loss.cost(output, target) is not None:
        return
    if takes_softmax_of_one(obs):
        yield of_one_output(obs, "the loss is 0 for labels of class 0 and refuses all others")
        return
    cures: dict[str, Callable[[Tensor], Tensor]] = {
        "long()": lambda y: y.long(),
        "flatten()": lambda y: y.flatten(),
        "flatten().long()": lambda y: y.flatten().long(),
        "to(output.dtype)": lambda y: y.to(output.dtype),
        "to(output.dtype).view_as(output)": lambda y: y.to(output.dtype).reshape(output.shape),
    }
    several = output.ndim > 1 and output.shape[1] > 1
    names = sorted(cures, key=lambda name: several and "output" in name)  # class numbers first, where there are classes
    taken = [name for name in names if _is_taken(obs, cures[name])]
    advice = first_that_learns(
        (f"Give it `target.{name}`", lambda change=cures[name]: with_targets(obs, change)) for name in taken
    )
    if not taken:
        return
    yield Finding(
        "label_form",
        "labels",
        "severe",
        {"dims": target.ndim},
        why=f"The loss refuses targets of {form(target)} with outputs of {form(output)}.",
        change=advice
        or f"Give it targets of the form that it is made for; it takes `target.{taken[0]}`, but some steps on the "
        "first batch do not lower the loss so.",
        blame=100,
    )


def _is_taken(obs: Observed, change: Callable[[Tensor], Tensor]) -> bool:
    output = obs.outputs[0]
    try:
        other = change(obs.subject.batches[0][1])
    except RuntimeError:
        return False
    if not other.is_floating_point() and not (output.ndim and bool(((other >= 0) & (other < output.shape[-1])).all())):
        return False  # on CUDA a wrong class would end the process
    return obs.loss.cost(output, other) is not None


# Numbers of classes


def range_of(obs: Observed, labels: Tensor, width: int) -> Iterator[Finding]:
    """`label_range`: classes that have no output."""
    outside = (labels < 0) | (labels >= width)
    outside &= labels != IGNORED
    if not bool(outside.any()):
        return
    # Some other number may be one that this loss ignores. On the CPU, as a GPU does not survive a wrong label.
    output = obs.outputs[0].cpu()
    for _, y in obs.subject.batches:
        some = output[:1].expand(len(y), *output.shape[1:])
        y = y.cpu()
        if obs.loss.cost(some, y.clamp(0, width - 1)) is not None and obs.loss.cost(some, y) is None:
            break
    else:
        return
    counted = labels[labels != IGNORED]
    smallest, largest = int(counted.min()), int(counted.max())
    yield Finding(
        "label_range",
        "labels",
        "severe",
        {"share_outside": float(outside.float().mean()), "smallest": smallest, "largest": largest, "outputs": width},
        why=f"The labels go from {smallest} to {largest}, and {width} outputs stand for the classes 0 to {width - 1}.",
        change=_renumbered(obs, counted.unique(), width)
        or "Number the classes from 0 without gaps, and give the net an output for each.",
        blame=1e5,
    )


def _renumbered(obs: Observed, classes: Tensor, width: int) -> str | None:
    smallest, largest = int(classes[0]), int(classes[-1])
    changes: list[tuple[str, Callable[[], Attempt]]] = []
    if largest - smallest < width:
        said = f"`target - {smallest}`" if smallest > 0 else f"`target + {-smallest}`"
        changes.append(
            (f"Number the classes from 0: {said}", lambda: with_targets(obs, lambda y: _kept(y, y - smallest)))
        )
    elif len(classes) <= width:
        named = ", ".join(str(int(c)) for c in classes[:4]) + ", …" * (len(classes) > 4)
        changes.append(
            (
                f"Number the classes from 0 without gaps: `torch.searchsorted(torch.tensor([{named}]), target)`",
                lambda: with_targets(obs, lambda y: _kept(y, torch.searchsorted(classes, y))),
            )
        )
    elif smallest >= 0 and largest < _MANY:
        more = largest + 1 - width
        changes.append(
            (f"Give the net {largest + 1} outputs, one for each class", lambda: _with_more_outputs(obs, more))
        )
    return first_that_learns(changes)


def _kept(labels: Tensor, changed: Tensor) -> Tensor:
    return torch.where(labels == IGNORED, labels, changed)


def _with_more_outputs(obs: Observed, more: int) -> Attempt:
    loss = obs.subject.loss_fn
    pad = (0, 0) * (obs.outputs[0].ndim - 2) + (0, more)
    return attempt(replace(obs.subject, loss_fn=lambda output, target: loss(F.pad(output, pad), target)))
