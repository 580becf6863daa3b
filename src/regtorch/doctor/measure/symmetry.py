"""Layers whose units are copies of each other and stay so, or are all zero."""

from __future__ import annotations

from collections.abc import Iterator

from regtorch.counted import counted
from regtorch.doctor.finding import Finding, listed
from regtorch.doctor.measure.constant_output import is_same_for_all
from regtorch.doctor.watch.attempt import attempt
from regtorch.doctor.watch.idle_units import reinitialised
from regtorch.doctor.watch.observed import Observed
from regtorch.doctor.watch.steps import equal_rows

__all__ = ["find"]


def find(obs: Observed) -> Iterator[Finding]:
    """`symmetric_units`: the units of a weight start as copies and stay so, or start at zero and pass no signal.

    Random biases can break the symmetry of zero weights, but then the outputs are the same for all inputs.
    """
    weights = obs.subject.trained
    same = [name for name, p in weights.items() if equal_rows(p)]
    zero = [name for name in same if not bool(weights[name].any())]
    still = [name for name in same if name in obs.with_rules.symmetric]
    if still:
        why = f"All units of {counted(len(still), 'weight')} start as copies of one"
        why += f"{', at zero' if set(still) & set(zero) else ''}, and still are after {obs.steps} steps: they get the "
        why += "same gradient, so the layer acts like one unit."
    elif zero and is_same_for_all(obs):
        starting = counted(len(zero), "weight starts", "weights start")
        why = f"{starting} at zero and let no signal pass: the outputs are the same for all inputs."
    else:
        return
    names = still or zero
    random = attempt(obs.subject, lambda model: reinitialised(list(model.modules())))
    yield Finding(
        "symmetric_units",
        listed(names),
        "severe",
        {"weights": len(names), "all_zero": len(set(names) & set(zero)), "steps": obs.steps},
        why=why,
        change=f"Initialise weights at random (He or Glorot); zeros are for biases ({random.summary}).",
        blame=len(names),
    )
