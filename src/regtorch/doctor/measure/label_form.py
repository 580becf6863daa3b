"""Labels in another form than the loss takes: one-hot rows, dtypes and shapes, classes without an output."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from regtorch.doctor.finding import Finding
from regtorch.doctor.measure.constant_loss import one_output, takes_softmax_of_one
from regtorch.doctor.observe.attempt import Attempt, attempt, first_that_learns
from regtorch.doctor.observe.observed import Observed
from regtorch.doctor.observe.pairs import form

__all__ = ["IGNORED", "form_of", "is_one_hot", "one_hot", "range_of", "with_targets"]

IGNORED = -100
"""The class index that torch's losses ignore."""
_MANY = 10_000  # classes: more outputs are not tried, as they might not fit into memory


def with_targets(obs: Observed, change: Callable[[Tensor], Tensor]) -> Attempt:
    """Train with changed targets."""
    x, y = obs.subject.batches[0]
    try:
        return attempt(replace(obs.subject, batches=[(x, change(y))]))
    except RuntimeError:  # such as a shape mismatch
        return Attempt()


# Rows


def is_one_hot(target: Tensor, output: Tensor) -> bool:
    """Whether the targets are rows with a single 1, as wide as the outputs."""
    if target.ndim != 2 or target.shape[1] < 2 or target.shape[1:] != output.shape[1:] or target.is_complex():
        return False
    return bool(((target == 0) | (target == 1)).all() and (target.sum(1) == 1).all())


def one_hot(obs: Observed) -> Iterator[Finding]:
    """`one_hot_labels`."""
    output, target = obs.outputs[0], obs.subject.batches[0][1]
    taken = obs.loss.cost(output, target) is not None
    if taken and not obs.loss.is_cross_entropy:  # a multi-label loss: other rows may have several 1s
        return
    if taken:
        change: str | None = "Nothing; class indices, `target.argmax(1)`, take less memory."
    else:
        as_indices, as_floats = (
            lambda: with_targets(obs, lambda y: y.argmax(1)),
            lambda: with_targets(obs, lambda y: y.to(output.dtype)),
        )
        change = first_that_learns(
            [("Pass class indices, `target.argmax(1)`", as_indices), ("Pass `target.to(output.dtype)`", as_floats)]
        )
    yield Finding(
        "one_hot_labels",
        "labels",
        "info" if taken else "severe",
        {"classes": output.shape[1]},
        why="The labels are one-hot rows"
        + (": the loss accepts them, and class indices are equivalent." if taken else ", which the loss rejects."),
        change=change or "Pass labels in the form that the loss expects; class indices are `target.argmax(1)`.",
        blame=100,
    )


# Dtypes and shapes


def form_of(obs: Observed) -> Iterator[Finding]:
    """`label_form`: targets that the loss rejects, but accepts in another dtype or shape."""
    output, target = obs.outputs[0], obs.subject.batches[0][1]
    if obs.loss.cost(output, target) is not None:
        return
    if takes_softmax_of_one(obs):
        yield one_output(obs, "the loss is 0 for class 0 and rejects all other labels")
        return
    forms: dict[str, Callable[[Tensor], Tensor]] = {
        "long()": lambda y: y.long(),
        "flatten()": lambda y: y.flatten(),
        "flatten().long()": lambda y: y.flatten().long(),
        "to(output.dtype)": lambda y: y.to(output.dtype),
        "to(output.dtype).view_as(output)": lambda y: y.to(output.dtype).reshape(output.shape),
    }
    several = output.ndim > 1 and output.shape[1] > 1
    names = sorted(forms, key=lambda name: several and "output" in name)  # class indices first if there are classes
    taken = [name for name in names if _is_taken(obs, forms[name])]
    advice = first_that_learns(
        (f"Pass `target.{name}`", lambda change=forms[name]: with_targets(obs, change)) for name in taken
    )
    if not taken:
        return
    yield Finding(
        "label_form",
        "labels",
        "severe",
        {"dims": target.ndim},
        why=f"The loss rejects targets of {form(target)} with outputs of {form(output)}.",
        change=advice
        or f"Pass targets in the form that the loss expects; it accepts `target.{taken[0]}`, but some steps on the "
        "first batch do not lower the loss then.",
        blame=100,
    )


def _is_taken(obs: Observed, change: Callable[[Tensor], Tensor]) -> bool:
    output = obs.outputs[0]
    try:
        other = change(obs.subject.batches[0][1])
    except RuntimeError:
        return False
    if not other.is_floating_point() and not (output.ndim and bool(((other >= 0) & (other < output.shape[-1])).all())):
        return False  # an invalid class kills a CUDA process
    return obs.loss.cost(output, other) is not None


# Class indices


def range_of(obs: Observed, labels: Tensor, width: int) -> Iterator[Finding]:
    """`label_range`: class indices without an output."""
    outside = (labels < 0) | (labels >= width)
    outside &= labels != IGNORED
    if not bool(outside.any()):
        return
    # The loss may ignore another index than torch's. On the CPU, as an invalid label kills a CUDA process.
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
        why=f"The labels range from {smallest} to {largest}, but {width} outputs cover the classes 0 to {width - 1}.",
        change=_renumbered(obs, counted.unique(), width)
        or "Number the classes from 0 without gaps, and give the net one output per class.",
        blame=1e5,
    )


def _renumbered(obs: Observed, classes: Tensor, width: int) -> str | None:
    smallest, largest = int(classes[0]), int(classes[-1])
    changes: list[tuple[str, Callable[[], Attempt]]] = []
    if largest - smallest < width:
        code = f"`target - {smallest}`" if smallest > 0 else f"`target + {-smallest}`"
        changes.append(
            (f"Number the classes from 0: {code}", lambda: with_targets(obs, lambda y: _kept(y, y - smallest)))
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
        changes.append((f"Give the net {largest + 1} outputs, one per class", lambda: _with_more_outputs(obs, more)))
    return first_that_learns(changes)


def _kept(labels: Tensor, changed: Tensor) -> Tensor:
    return torch.where(labels == IGNORED, labels, changed)


def _with_more_outputs(obs: Observed, more: int) -> Attempt:
    loss = obs.subject.loss_fn
    pad = (0, 0) * (obs.outputs[0].ndim - 2) + (0, more)
    return attempt(replace(obs.subject, loss_fn=lambda output, target: loss(F.pad(output, pad), target)))
