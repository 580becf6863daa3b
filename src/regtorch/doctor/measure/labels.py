"""Labels that a net cannot learn: one class only, invalid indices or forms, unrelated to the inputs."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

import torch
from torch import Tensor

from regtorch.doctor.causes import Severity
from regtorch.doctor.finding import Finding, fmt
from regtorch.doctor.measure.class_weights import weight_of_rare
from regtorch.doctor.measure.label_form import IGNORED, form_of, is_one_hot, one_hot, range_of, with_targets
from regtorch.doctor.observe.correlation import FLAT, correlation, standardised
from regtorch.doctor.observe.observed import NOT_FINITE, Observed, joined

__all__ = ["find"]

_ENOUGH = 32  # samples from which a single class is significant
_MOST = 0.9  # share of one class above which accuracy is uninformative
_WEIGHED = 2.0  # times as much for a sample of the rare class: the imbalance is known
_RARE_CLASS, _USUAL = 0.1, 0.75  # of an even share; share of one class that is worth a note
_FAR = 1e3  # of the outputs' size: larger targets are hard to reach
_TINY = 0.01  # deviation of targets below which a squared error hardly tells them apart
_STEP, _CLASSES = 0.02, 20  # distance and number of values that are numbers of classes after a division

# The probe
_PROBED = 200, 1024  # samples: minimum for other than flat inputs, and maximum
_FEW, _MANY = 100, 500  # minimum for flat inputs, of which a warning from the number above on; for images a warning
_RARE = 40  # samples outside the most frequent class
_COLUMNS = 16  # largest target probed


def find(obs: Observed) -> Iterator[Finding]:
    """Findings about the targets; none unless targets and outputs are tensors of one form."""
    targets, output = obs.targets, obs.outputs[0]
    if targets is None or not isinstance(output, Tensor) or not output.is_floating_point() or not obs.loss.uses_targets:
        return
    if targets.is_floating_point() and (bad := int((~torch.isfinite(targets)).sum())):
        yield _not_finite(obs, bad, targets)
        return
    if is_one_hot(targets, output):
        yield from one_hot(obs)
        return
    is_index = not targets.is_floating_point() and output.ndim > 1 and targets.shape[1:] == output.shape[2:]
    wrong = list(range_of(obs, targets, output.shape[1])) if is_index and output.shape[1] > 1 else []
    yield from wrong or form_of(obs)
    if wrong:
        return
    if obs.loss.task == "classes" or (obs.loss.task == "binary" and targets.numel() == len(targets)):
        if targets.is_floating_point() and targets.ndim == output.ndim and obs.loss.task == "classes":
            yield from _of_probabilities(obs, targets)
            return
        labels = targets.long().flatten()
        yield from _shares(obs, labels[labels != IGNORED])
        if labels.numel() == len(targets):
            columns = torch.nn.functional.one_hot(labels.unique(return_inverse=True)[1]).float()
            yield from _unrelated(obs, labels, columns, "labels")
    elif obs.loss.task == "numbers":
        yield from _scale(obs, targets)
        if targets[:1].numel() <= _COLUMNS:
            yield from _unrelated(obs, targets, standardised(targets.reshape(len(targets), -1).float()), "targets")


def _of_probabilities(obs: Observed, targets: Tensor) -> Iterator[Finding]:
    """Labels given as class probabilities: smoothed, mixed, or from another net."""
    if targets.ndim > 2:
        return
    if len(targets.unique(dim=0)) <= targets.shape[1]:  # smoothed labels, one row per class
        yield from _shares(obs, targets.argmax(1))
    yield from _unrelated(obs, targets, targets.float(), "labels")


def _not_finite(obs: Observed, bad: int, targets: Tensor) -> Finding:
    finite = [bool(torch.isfinite(y).all()) for _, y in obs.subject.batches]
    harmless = all(obs.is_finite_on(n) for n in [n for n, is_finite in enumerate(finite) if not is_finite][:NOT_FINITE])
    return Finding(
        "target_not_finite",
        "targets",
        "info" if harmless else "severe",
        {"not_finite": bad, "share": bad / targets.numel()},
        why=f"{bad} of {targets.numel()} target numbers are NaN or infinite: "
        + ("the loss ignores them." if harmless else "they spread to the loss and all weights."),
        change="Nothing if they mark missing values."
        if harmless
        else "Drop samples without a target, and look for divisions by 0 and logarithms of 0.",
        blame=1e6,
    )


def _scale(obs: Observed, targets: Tensor) -> Iterator[Finding]:
    outputs = joined(obs.outputs)
    if (small := next(_tiny(obs, targets), None)) is not None:
        yield small
        return
    sizes = [float(t.double().square().mean().sqrt()) for t in (outputs, targets) if t is not None]
    if len(sizes) == 2 and sizes[1] > _FAR * max(sizes[0], 1.0):
        spread, mean = torch.std_mean(targets.double(), correction=0)
        standard = with_targets(obs, lambda y: ((y - mean) / spread).to(y.dtype) if spread else y - mean)
        yield Finding(
            "target_scale",
            "targets",
            "warning" if obs.without_penalties.falls else "severe",
            {"rms_of_targets": sizes[1], "rms_of_outputs": sizes[0]},
            why=f"The targets' root mean square is {fmt(sizes[1])} and the outputs' {fmt(sizes[0])}: gradients are "
            "equally large or, if the optimizer normalises them, reaching the targets takes very many steps.",
            change="Standardise the targets by the training set's mean and standard deviation, and invert that on the "
            f"outputs ({standard.summary}).",
            blame=sizes[1],
        )


def _tiny(obs: Observed, targets: Tensor) -> Iterator[Finding]:
    """Targets that were divided by too much, such as class numbers by 255."""
    y = targets.double()
    spread, mean = (float(part) for part in torch.std_mean(y, correction=0))
    values = y.unique()
    step = float(values.diff().min()) if 2 <= len(values) <= _CLASSES else inf
    counts = values / step
    whole = step <= _STEP and float(values[0]) >= 0 and float((counts - counts.round()).abs().max()) < _CLASSES * 1e-3
    if not spread or (not whole and spread >= _TINY):
        return
    standard = with_targets(obs, lambda y: ((y - mean) / spread).to(y.dtype))
    numbers = {"deviation_of_targets": spread, "largest_target": float(values[-1])}
    if whole:
        divisor = f"{1 / step:.4g}"
        why = f"The targets are the whole numbers up to {round(float(counts[-1]))}, divided by {divisor}: they differ "
        why += f"by {spread:.2g}, less than a net's outputs do by chance, and the loss can hardly tell them apart."
        change = f"Divide the inputs alone, not the targets; here `target * {divisor}`, and for classes a loss for "
        change += "classes: `CrossEntropyLoss` on `(…).long()`, or for two `BCEWithLogitsLoss`."
    else:
        why = f"The targets' deviation is {spread:.2g}: an error as large as that costs only {spread**2:.1e}, "
        why += "and is less than what the first outputs differ by."
        change = "Standardise the targets by the training set's mean and standard deviation, and invert that on the "
        change += f"outputs ({standard.summary})."
    severity: Severity = "severe" if whole else "warning"
    yield Finding("target_scale", "targets", severity, numbers, why=why, change=change, blame=1 / spread)


# Shares


def _shares(obs: Observed, labels: Tensor) -> Iterator[Finding]:
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
            why=f"All {len(labels)} labels examined are of class {int(classes[0])}: the net learns a constant.",
            change="Shuffle the training set, or check how its labels are read.",
            blame=1e3,
        )
    elif share > _MOST and weight_of_rare(obs, int(classes[counts.argmin()]), int(classes[most])) < _WEIGHED:
        yield Finding(
            "imbalance",
            "labels",
            "warning",
            numbers,
            why=f"{share:.0%} of the labels are of class {int(classes[most])}: always predicting it is right as often.",
            change="Weight the classes in the loss or sample them evenly, and evaluate by per-class scores.",
            blame=share,
        )
    elif len(labels) >= _PROBED[0] and (share > _USUAL or int(counts.min()) < _RARE_CLASS * len(labels) / len(counts)):
        least = int(counts.argmin())
        yield Finding(
            "imbalance",
            "labels",
            "info",
            {"class": int(classes[least]), "share": float(counts[least]) / len(labels), "samples": len(labels)},
            why=f"{int(counts[least])} of {len(labels)} labels are of class {int(classes[least])}, and {share:.0%} of "
            f"class {int(classes[most])}.",
            change="Evaluate by per-class scores; if the rare class matters, weight it in the loss or sample it more.",
            blame=share,
        )


# Relation to the inputs


def _severity_of_unrelated(where: str, flat: bool, samples: int) -> Severity:
    if flat:
        return "severe" if where == "labels" and samples >= _PROBED[0] else "warning"
    return "warning" if where == "labels" and samples >= _MANY else "info"


def _unrelated(obs: Observed, targets: Tensor, columns: Tensor, where: str) -> Iterator[Finding]:
    x = obs.inputs
    taken = obs.taken_in
    if x is None or not x.is_floating_point() or x.ndim < 2 or (taken is not None and not taken.is_floating_point()):
        return  # token indices, even if stored as floats
    flat = x.ndim == 2 and x.shape[1] <= FLAT
    most = min(len(x), len(targets), _PROBED[1])
    kept = (targets[:most].reshape(most, -1)[:, 0] != IGNORED).nonzero().flatten()
    x, columns = x[kept], columns[kept]
    if where == "labels":  # a class with one sample cannot be held out
        several = columns[:, columns.sum(0) > 1].any(1)
        x, columns = x[several], columns[several]
    # Too few samples of a rare class are not significant.
    rare = len(x) - float(columns.sum(0).max()) if where == "labels" else inf
    if (
        len(x) < (_FEW if flat and where == "labels" else _PROBED[0])
        or rare < _RARE
        or not bool(columns.std(0).any())
        or not bool(torch.isfinite(x).all())
    ):
        return
    true, level = correlation(x.cpu(), columns.cpu())
    if true > level:
        return
    yield Finding(
        "labels_unrelated",
        where,
        _severity_of_unrelated(where, flat, len(x)),
        {"correlation": true, "correlation_of_shuffled": level, "samples": len(x)},
        why=f"A small probe cannot predict the labels from the inputs: its correlation on held-out samples is "
        f"{true:.3f}, and up to {level:.3f} with shuffled labels."
        + ("" if flat else " Inputs of this kind may be too hard for it."),
        change="Check that inputs and labels are in the same order"
        + (" and that the inputs contain the information." if flat else "; otherwise nothing."),
        blame=10,
    )
