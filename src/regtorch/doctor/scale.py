"""Which weights' scale the net's output does not depend on, as a norm layer divides by it."""

from __future__ import annotations

from math import inf

import torch
from torch import Tensor, nn

from regtorch.doctor.patient import Patient
from regtorch.doctor.restored import seed

__all__ = ["HIDDEN", "scale_changes"]

HIDDEN = 1e-2
"""The relative change of the outputs below which the scale counts as hidden; a norm's eps keeps it from being 0."""


def scale_changes(patient: Patient) -> dict[str, float]:
    """By how much, relatively, the outputs change when a penalised weight is doubled: about 0 behind a norm.

    In training mode, on the first batch, with the same random numbers. Weights that the outputs do not depend on are
    left out; it is empty where the outputs are no tensor, or 0.
    """
    model = patient.model
    changes: dict[str, float] = {}
    with patient.restored(), torch.no_grad():
        model.train()
        base = _output(patient)
        size = float(torch.linalg.vector_norm(base)) if base is not None else 0.0
        if base is None or not 0 < size < inf:
            return {}

        def change(p: nn.Parameter, factor: float) -> float:
            before = p.clone()
            p.mul_(factor)
            output = _output(patient)
            p.copy_(before)
            assert output is not None
            return float(torch.linalg.vector_norm(output - base)) / size

        for name, p in patient.penalised.items():
            doubled = change(p, 2.0)
            if doubled >= HIDDEN or change(p, -1.0) >= HIDDEN:  # no norm hides the sign
                changes[name] = doubled
    return changes


def _output(patient: Patient) -> Tensor | None:
    seed(0)
    output = patient.output(0)
    return output.double() if isinstance(output, Tensor) else None
