"""Layers whose units are copies of each other and stay so, or are all zero."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from regtorch.counted import counted
from regtorch.doctor.finding import Finding, listed
from regtorch.doctor.measure.constant_output import is_same_for_all
from regtorch.doctor.observe.idle_units import restarted
from regtorch.doctor.observe.observed import Observed
from regtorch.doctor.observe.steps import equal_rows

__all__ = ["find"]


def find(obs: Observed) -> Iterator[Finding]:
    """`symmetric_units`: the units of a weight start as copies and stay so, or start at zero and pass no signal.

    Random biases can break the symmetry of zero weights, but then the outputs are the same for all inputs.
    """
    weights = obs.subject.trained
    same = [name for name, p in weights.items() if equal_rows(p)]
    zero = [name for name in same if not bool(weights[name].any())]
    still = [name for name in same if name in obs.with_rules.symmetric]
    alike: list[str] = []
    if still:
        why = f"All units of {counted(len(still), 'weight')} start as copies of one"
        why += f"{', at zero' if set(still) & set(zero) else ''}, and still are after {obs.steps} steps: they get the "
        why += "same gradient, so the layer acts like one unit."
    elif alike := _alike(obs, same, zero):
        why = (
            f"All units of {counted(len(alike), 'weight')} start as copies of one; only random biases tell them apart, "
        )
        why += "so they learn nearly the same for long."
    elif zero and is_same_for_all(obs):
        starting = counted(len(zero), "weight starts", "weights start")
        why = f"{starting} at zero and let no signal pass: the outputs are the same for all inputs."
    else:
        return
    names = still or alike or zero
    random = restarted(obs)
    yield Finding(
        "symmetric_units",
        listed(names),
        "severe" if still or not alike else "warning",
        {"weights": len(names), "all_zero": len(set(names) & set(zero)), "steps": obs.steps},
        why=why,
        change=f"Initialise weights at random (He or Glorot); zeros are for biases ({random.summary}).",
        blame=len(names),
    )


def _alike(obs: Observed, same: Sequence[str], zero: Sequence[str]) -> list[str]:
    """Weights between others whose units start as nonzero copies."""
    inner = list(obs.subject.trained)[:-1]
    return [name for name in same if name not in zero and name in inner and obs.subject.trained[name][0].numel() > 1]
