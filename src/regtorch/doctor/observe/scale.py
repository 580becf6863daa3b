"""Weights whose scale does not affect the outputs, because a norm layer divides by it."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite

import torch
from torch import Tensor, nn

from regtorch.doctor.observe.restored import seed
from regtorch.doctor.observe.subject import Subject

__all__ = ["HIDDEN", "scale_changes"]

HIDDEN = 1e-2
"""Relative change of the outputs below which the scale counts as hidden; a norm's eps keeps it above 0."""
_ROUNDING = 100  # times the outputs' rounding error: smaller changes are noise


def scale_changes(subject: Subject, weights: Mapping[str, nn.Parameter]) -> dict[str, float]:
    """The change of the outputs when a weight is doubled, relative to flipping its sign: about 0 before a norm.

    Relative to that and not to the outputs: a nearly uniform softmax hardly changes whatever the weights. Measured in
    training mode on the first batch. Omits weights without effect; empty unless the outputs are finite floats.
    """
    model = subject.model
    changes: dict[str, float] = {}
    with subject.restored(), torch.no_grad():
        model.train()
        base = _output(subject)
        if base is None or not base.numel() or not bool(torch.isfinite(base).all()):
            return {}
        least = _ROUNDING * torch.finfo(base.dtype).eps * float(torch.linalg.vector_norm(base.double()))

        def change(p: nn.Parameter, factor: float) -> float:
            before = p.clone()
            p.mul_(factor)
            output = _output(subject)
            p.copy_(before)
            assert output is not None
            return float(torch.linalg.vector_norm(output.double() - base.double()))

        for name, p in weights.items():
            doubled, turned = change(p, 2.0), change(p, -1.0)
            if isfinite(doubled + turned) and max(doubled, turned) > least:
                changes[name] = doubled / max(turned / 2, least)
    return changes


def _output(subject: Subject) -> Tensor | None:
    seed(0)
    output = subject.output(0)
    return output if isinstance(output, Tensor) and output.is_floating_point() else None
