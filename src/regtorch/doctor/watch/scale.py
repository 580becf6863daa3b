"""Which weights' scale the net's output does not depend on, as a norm layer divides by it."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite

import torch
from torch import Tensor, nn

from regtorch.doctor.watch.restored import seed
from regtorch.doctor.watch.subject import Subject

__all__ = ["HIDDEN", "scale_changes"]

HIDDEN = 1e-2
"""The relative change of the outputs below which the scale counts as hidden; a norm's eps keeps it from being 0."""
_ROUNDING = 100  # times the outputs' own rounding: a change that is smaller says nothing


def scale_changes(subject: Subject, weights: Mapping[str, nn.Parameter]) -> dict[str, float]:
    """By how much the outputs change when a weight is doubled, over the change when its sign is: about 0 behind a norm.

    Beside the other change, not beside the outputs themselves: of a softmax that is nearly even most stays as it is
    whatever the weights. In training mode, on the first batch, with the same random numbers. Weights that the outputs
    do not depend on are left out; it is empty where the outputs are no tensor of finite numbers.
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
