"""Units of a layer that are copies of each other, and stay so: as many as one."""

from __future__ import annotations

from collections.abc import Iterator

from regtorch.doctor.exam import Exam
from regtorch.doctor.finding import Finding, listed
from regtorch.doctor.trial import equal_rows

__all__ = ["find"]


def find(exam: Exam) -> Iterator[Finding]:
    """`symmetric_units` where the units of a weight start as copies, and still are after the watched steps."""
    weights = exam.patient.trained
    same = [name for name, p in weights.items() if equal_rows(p)]
    same = [name for name in same if name in exam.with_rules.symmetric]
    if same:
        zero = sum(not bool(weights[name].any()) for name in same)
        yield Finding(
            "symmetric_units",
            listed(same),
            "severe",
            {"weights": len(same), "all_zero": zero, "steps": exam.steps},
            why=f"All units of {len(same)} weights start as copies of one{', at zero' if zero else ''}, and still are "
            f"after {exam.steps} steps: they get the same gradient, and the layer is worth one unit.",
            change="Draw weights at random (He or Glorot initialisation); zeros are for biases.",
            blame=len(same),
        )
