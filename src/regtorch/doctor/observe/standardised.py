"""Batches with standardised inputs, to try that advice."""

from __future__ import annotations

from dataclasses import replace

import torch

from regtorch.doctor.observe.observed import Observed, joined
from regtorch.doctor.observe.subject import Subject

__all__ = ["standardised_inputs"]


def standardised_inputs(obs: Observed) -> Subject | None:
    """With mean 0 and deviation 1 of each feature or channel; None unless inputs are finite floats of one shape."""
    x = joined([x for x, _ in obs.subject.batches]) if obs.inputs is not None else None
    if x is None or not x.is_floating_point() or x.ndim < 2 or len(x) < 2 or not bool(torch.isfinite(x).all()):
        return None
    dims = [0, *range(2, x.ndim)]
    spread, mean = torch.std_mean(x.double(), dims, keepdim=True)
    spread = spread.where(spread > 0, torch.ones_like(spread))
    batches = [(((x.double() - mean) / spread).to(x.dtype), y) for x, y in obs.subject.batches]
    return replace(obs.subject, batches=batches)
