"""Units of a layer that are copies of each other, and stay so, or all at zero: as many as one, or none."""

from __future__ import annotations

from collections.abc import Iterator

from regtorch.doctor.finding import Finding, listed
from regtorch.doctor.measure.constant_output import is_same_for_all
from regtorch.doctor.watch.attempt import Attempt, attempt
from regtorch.doctor.watch.idle_units import drawn_anew
from regtorch.doctor.watch.observed import Observed
from regtorch.doctor.watch.steps import equal_rows

__all__ = ["find"]


def find(obs: Observed) -> Iterator[Finding]:
    """`symmetric_units` where the units of a weight start as copies, and stay so or let nothing of the inputs through.

    Biases that are drawn at random can part units that are all at zero: what comes out is the same for all inputs then.
    """
    weights = obs.subject.trained
    same = [name for name, p in weights.items() if equal_rows(p)]
    zero = [name for name in same if not bool(weights[name].any())]
    still = [name for name in same if name in obs.with_rules.symmetric]
    if still:
        why = f"All units of {len(still)} weights start as copies of one"
        why += f"{', at zero' if set(still) & set(zero) else ''}, and still are after {obs.steps} steps: they get the "
        why += "same gradient, and the layer is worth one unit."
    elif zero and is_same_for_all(obs):
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
        {"weights": len(names), "all_zero": len(set(names) & set(zero)), "steps": obs.steps},
        why=why,
        change=f"Draw weights at random (He or Glorot initialisation); zeros are for biases ({_drawn(obs).summary}).",
        blame=len(names),
    )


def _drawn(obs: Observed) -> Attempt:
    return attempt(obs.subject, lambda model: drawn_anew(list(model.modules())))
