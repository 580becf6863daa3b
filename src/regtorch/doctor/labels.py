"""Labels of classes that a net cannot learn from: one class, wrong numbers, wrong form, or unrelated to the inputs."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from regtorch.doctor.exam import Exam
from regtorch.doctor.finding import Finding

__all__ = ["find"]

_ENOUGH = 32  # samples from which one class says something
_MOST = 0.9  # share of one class from which accuracy says little
_IGNORED = -100  # the number that torch's losses leave out

# The probe
_PROBED = 200, 1024  # samples, at least and at most
_FLAT = 1000  # features up to which a small probe should find what there is
_WIDTH = 256  # features of the probe
_SPLITS, _SHUFFLES = 3, 20
_LEVEL = 0.9  # the share of shuffled labels that true ones have to beat


def find(exam: Exam) -> Iterator[Finding]:
    """Findings about the labels; none where the targets are numbers."""
    target, output = exam.targets, exam.outputs[0]
    if target is None or not isinstance(output, Tensor) or not output.is_floating_point():
        return
    if _is_one_hot(target, output):
        yield _one_hot(exam)
        return
    if target.is_floating_point() and exam.task != "binary":
        return
    labels = target.long().flatten() if exam.task == "binary" else target
    if labels.ndim != 1 or output.ndim > 2:
        return
    if output.ndim == 2 and output.shape[1] > 1:
        wrong = list(_range(exam, labels, output.shape[1]))
        yield from wrong
        if wrong:
            return
    if exam.task in ("classes", "binary"):
        yield from _shares(labels[labels != _IGNORED])
        yield from _unrelated(exam, labels)


# Form


def _is_one_hot(target: Tensor, output: Tensor) -> bool:
    if target.ndim != 2 or target.shape[1] < 2 or target.shape[1:] != output.shape[1:]:
        return False
    return bool(((target == 0) | (target == 1)).all() and (target.sum(1) == 1).all())


def _one_hot(exam: Exam) -> Finding:
    taken = _takes(exam, exam.outputs[0], exam.patient.batches[0][1])
    return Finding(
        "one_hot_labels",
        "labels",
        "info" if taken else "severe",
        {"classes": exam.outputs[0].shape[1]},
        why="The labels are rows with a single 1"
        + (": the loss takes them, and class numbers say the same." if taken else ", which the loss does not take."),
        change="Give class numbers to cross entropy: `labels.argmax(1)`.",
        blame=100,
    )


def _takes(exam: Exam, output: Tensor, target: Tensor) -> bool:
    try:
        with torch.no_grad():
            exam.patient.task_loss(output, target)
    except (RuntimeError, IndexError, ValueError):
        return False
    return True


def _range(exam: Exam, labels: Tensor, width: int) -> Iterator[Finding]:
    outside = (labels < 0) | (labels >= width)
    outside &= labels != _IGNORED
    if not bool(outside.any()):
        return
    # Some other number may be one that this loss ignores. On the CPU, as a GPU does not survive a wrong label.
    for output, (_, y) in zip(exam.outputs, exam.patient.batches, strict=True):
        output, y = output.cpu(), y.cpu()
        if _takes(exam, output, y.clamp(0, width - 1)) and not _takes(exam, output, y):
            break
    else:
        return
    share = float(outside.float().mean())
    smallest, largest = int(labels[labels != _IGNORED].min()), int(labels.max())
    yield Finding(
        "label_range",
        "labels",
        "severe",
        {"share_outside": share, "smallest": smallest, "largest": largest, "outputs": width},
        why=f"The labels go from {smallest} to {largest}, and {width} outputs stand for the classes 0 to {width - 1}.",
        change="Number the classes from 0 (subtract the smallest), or give the net an output for each class.",
        blame=1e5,
    )


# Shares


def _shares(labels: Tensor) -> Iterator[Finding]:
    if len(labels) < _ENOUGH:
        return
    classes, counts = labels.unique(return_counts=True)
    most = int(counts.argmax())
    share = float(counts[most]) / len(labels)
    numbers = {"class": int(classes[most]), "share": share, "samples": len(labels)}
    if len(classes) == 1:
        yield Finding(
            "one_class",
            "labels",
            "severe",
            numbers,
            why=f"All {len(labels)} labels examined are of class {int(classes[0])}: the net learns to say that always.",
            change="Shuffle the training set, or look at how its labels are read.",
            blame=1e3,
        )
    elif share > _MOST:
        yield Finding(
            "imbalance",
            "labels",
            "warning",
            numbers,
            why=f"{share:.0%} of the labels are of class {int(classes[most])}: saying that always is right as often.",
            change="Weigh the classes in the loss or sample them evenly, and judge by a score for each class.",
            blame=share,
        )


# Relation to the inputs


def _unrelated(exam: Exam, labels: Tensor) -> Iterator[Finding]:
    x = exam.inputs
    if x is None or not x.is_floating_point() or x.ndim < 2 or len(x) != len(labels):
        return
    kept = (labels != _IGNORED).nonzero().flatten()[: _PROBED[1]]
    x, labels = x[kept].flatten(1), labels[kept]
    if len(x) < _PROBED[0] or len(labels.unique()) < 2 or not bool(torch.isfinite(x).all()):
        return
    true, level = _probe(x.cpu(), labels.cpu())
    if true > level:
        return
    flat = exam.inputs is not None and exam.inputs.ndim == 2 and x.shape[1] <= _FLAT
    yield Finding(
        "labels_unrelated",
        "labels",
        "severe" if flat else "info",
        {"correlation": true, "correlation_of_shuffled": level, "samples": len(x)},
        why=f"A small probe finds nothing in the inputs that tells of the labels: on held-out samples its correlation "
        f"is {true:.3f}, and with shuffled labels up to {level:.3f}."
        + ("" if flat else " Inputs of this kind may be too hard for it."),
        change="Look whether inputs and labels are still in the same order"
        + (" and whether the inputs hold what is asked for." if flat else "; otherwise nothing."),
        blame=10,
    )


def _probe(x: Tensor, labels: Tensor) -> tuple[float, float]:
    """A ridge regression's correlation with held-out labels, and the level that shuffled ones stay below.

    Half of its features are linear in the inputs, half are ReLUs of random projections, so that it sees more than
    lines. Correlation and not accuracy, which says nothing where one class is frequent.
    """
    own = torch.Generator().manual_seed(0)
    features = _features(x, own)
    wanted = torch.nn.functional.one_hot(labels.unique(return_inverse=True)[1]).double()
    wanted = wanted - wanted.mean(0)
    orders = [torch.arange(len(x)), *(torch.randperm(len(x), generator=own) for _ in range(_SHUFFLES))]
    columns = torch.stack([wanted[order] for order in orders], 1)  # samples, orders, classes
    scores = torch.zeros(len(orders), dtype=torch.float64)
    for _ in range(_SPLITS):
        fit, held = torch.randperm(len(x), generator=own).chunk(2)
        a, mean = features[fit], features[fit].mean(0)
        a = a - mean
        ridge = a.T @ a + len(fit) * torch.eye(a.shape[1], dtype=a.dtype)
        weights = torch.linalg.solve(ridge, a.T @ columns[fit].flatten(1))
        guessed = ((features[held] - mean) @ weights).view(len(held), len(orders), -1)
        true = columns[held]
        scores += (guessed * true).sum((0, 2)) / (guessed.norm(dim=(0, 2)) * true.norm(dim=(0, 2)) + 1e-12)
    scores /= _SPLITS
    return float(scores[0]), float(scores[1:].quantile(_LEVEL))


def _features(x: Tensor, own: torch.Generator) -> Tensor:
    half, width = _WIDTH // 2, x.shape[1]
    if width <= _FLAT:
        x = _standardised(x)
    x = x.float()
    linear = x if width <= half else x @ torch.randn(width, half, generator=own)
    bent = (x @ torch.randn(width, half, generator=own) / width**0.5 + torch.randn(half, generator=own)).relu()
    return _standardised(torch.cat([_standardised(linear), bent], 1)).double()


def _standardised(x: Tensor) -> Tensor:
    spread, mean = torch.std_mean(x, 0)
    return (x - mean) / spread.where(spread > 0, torch.ones_like(spread))
