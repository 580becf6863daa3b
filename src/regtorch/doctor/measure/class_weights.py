"""Whether a loss weighs a rare class more than a frequent one."""

from __future__ import annotations

import torch
from torch import Tensor

from regtorch.doctor.observe.observed import Observed

__all__ = ["weight_of_rare"]

_SURE = 20.0  # a logit


def weight_of_rare(obs: Observed, rare: int, frequent: int) -> float:
    """How many times as much an undecided output costs for a sample of one class as for one of another; 1 if unknown.

    All other outputs are sure and right, so that they cost nothing.
    """
    for output, (_, y) in zip(obs.outputs, obs.subject.batches, strict=False):
        if not isinstance(output, Tensor):
            return 1.0
        labels = y.long().flatten()
        both = [(labels == one).nonzero().flatten() for one in (rare, frequent)]
        if len(labels) != len(output) or not all(len(found) for found in both):
            continue
        column = output.numel() == len(output)
        valid = column or (output.ndim == 2 and int(labels.min()) >= 0 and int(labels.max()) < output.shape[1])
        if not valid:
            return 1.0
        if column:
            right = _SURE * (2 * labels - 1).to(output).reshape(output.shape)
        else:
            right = 2 * _SURE * torch.nn.functional.one_hot(labels, output.shape[1]).to(output)
        undecided = [right.clone() for _ in both]
        for changed, found in zip(undecided, both, strict=True):
            changed[found[0]] = 0
        costs = obs.loss.costs(y, *undecided)
        return costs[0] / costs[1] if costs is not None and costs[1] > 0 else 1.0
    return 1.0
