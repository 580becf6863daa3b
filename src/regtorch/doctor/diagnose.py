"""All measurements, one after the other: the findings, the most to blame first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from regtorch.doctor import activations, dropout, head, inputs, labels, norms, penalty, rate, scope
from regtorch.doctor.exam import Exam
from regtorch.doctor.finding import SEVERITIES, Finding
from regtorch.doctor.patient import Patient, Rule

__all__ = ["diagnose"]

# After those of inputs and labels. What is wrong first comes before what follows from it: so findings of one severity
# are ordered.
_MEASUREMENTS: Sequence[Callable[[Exam], Iterator[Finding]]] = (
    head.find,
    rate.find,
    penalty.find,
    scope.find,
    dropout.find,
    activations.find,
)


def diagnose(
    model: nn.Module,
    loss_fn: Callable[[Any, Tensor], Tensor],
    batches: Iterable[Any],
    optimizer: Optimizer | None = None,
    rules: Sequence[Rule] = (),
) -> list[Finding]:
    """Say why a net does not learn, or learns worse, under its rules: the most to blame first.

    A few steps are made on the model itself and taken back: weights, buffers, gradients, modes, the optimizer and
    random numbers are left as they were, to the bit.

    Args:
        model: the net.
        loss_fn: of the net's output and the target, a mean over the batch, without penalties on weights.
        batches: a list or loader of (input, target); the first 64 are looked at.
        optimizer: what trains the net; None watches Adam with a rate of 0.001.
        rules: penalties and constraints, bound or not; those attached to the optimizer are to be given here too.

    Returns:
        The findings; empty where nothing was found.

    Raises:
        TypeError: an argument is of the wrong kind.
        ValueError: there are no batches, or the optimizer belongs to another model.

    Example:
        >>> import torch, regtorch as rt
        >>> net = torch.nn.Linear(4, 3)
        >>> batches = [(torch.randn(32, 4), torch.randint(0, 3, (32,))) for _ in range(2)]
        >>> found = rt.diagnose(net, torch.nn.functional.cross_entropy, batches, rules=[rt.L2(100.0)])
        >>> "penalty_dominates" in [finding.cause for finding in found]
        True
    """
    exam = Exam(Patient.admit(model, loss_fn, batches, optimizer, rules))
    labelled = list(labels.find(exam))
    refused = [f for f in labelled if f.severity == "severe" and f.cause in ("label_range", "one_hot_labels")]
    normed = [] if refused else list(norms.find(exam))
    if refused or any(finding.numbers.get("refused") for finding in normed):  # no step can be made on such batches
        return refused or normed
    parts = (inputs.find(exam), labelled, *(measure(exam) for measure in _MEASUREMENTS))
    found = [f for part in parts for f in sorted(part, key=lambda f: -f.blame)]
    return sorted([*found, *normed], key=lambda f: SEVERITIES.index(f.severity))
