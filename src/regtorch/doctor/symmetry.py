"""Units of a layer that are copies of each other, and stay so, or all at zero: as many as one, or none."""

from __future__ import annotations

from collections.abc import Iterator

from regtorch.doctor.constant import is_same_for_all
from regtorch.doctor.exam import Exam
from regtorch.doctor.finding import Finding, listed
from regtorch.doctor.revive import drawn_anew
from regtorch.doctor.trial import equal_rows
from regtorch.doctor.tried import Tried, tried

__all__ = ["find"]


def find(exam: Exam) -> Iterator[Finding]:
    """`symmetric_units` where the units of a weight start as copies, and stay so or let nothing of the inputs through.

    Biases that are drawn at random can part units that are all at zero: what comes out is the same for all inputs then.
    """
    weights = exam.patient.trained
    same = [name for name, p in weights.items() if equal_rows(p)]
    zero = [name for name in same if not bool(weights[name].any())]
    still = [name for name in same if name in exam.with_rules.symmetric]
    if still:
        why = f"All units of {len(still)} weights start as copies of one"
        why += f"{', at zero' if set(still) & set(zero) else ''}, and still are after {exam.steps} steps: they get the "
        why += "same gradient, and the layer is worth one unit."
    elif zero and is_same_for_all(exam):
        why = (
            f"{len(zero)} weights start at zero, and nothing of the inputs gets through: outputs are the same for all."
        )
    else:
        return
    names = still or zero
    yield Finding(
        "symmetric_units",
        listed(names),
        "severe",
        {"weights": len(names), "all_zero": len(set(names) & set(zero)), "steps": exam.steps},
        why=why,
        change=f"Draw weights at random (He or Glorot initialisation); zeros are for biases ({_drawn(exam).said}).",
        blame=len(names),
    )


def _drawn(exam: Exam) -> Tried:
    return tried(exam.patient, lambda model: drawn_anew(list(model.modules())))
