"""Weights that no gradient of the loss reaches: only penalties and decay move them."""

from __future__ import annotations

from collections.abc import Iterator

from regtorch.doctor.finding import Finding, listed
from regtorch.doctor.measure import activations
from regtorch.doctor.watch.observed import Observed
from regtorch.doctor.watch.start import paired_and_unrelated

__all__ = ["find", "unreached"]

_MOST = 0.5  # of the trained weights
_LEARNT = 0.5  # of the loss of outputs with other samples' targets


def unreached(obs: Observed) -> list[str]:
    """The trained weights whose gradient the loss has left out, or kept at 0, in all watched steps."""
    if not obs.without_penalties.steps:
        return []
    # The gradients of activities' penalties pass the same way as the task's.
    reached = [obs.without_penalties.reached, *([] if obs.subject.activities else [obs.with_rules.reached])]
    return [name for name in obs.subject.trained if not any(found.get(name) for found in reached)]


def find(obs: Observed) -> Iterator[Finding]:
    """`no_gradient_reaches`; gradients of 0 that units which are off or alike explain are told there."""
    names = unreached(obs)
    cut = [name for name in names if name not in obs.without_penalties.reached]
    if not cut and (obs.with_rules.symmetric or activations.are_idle(obs)):
        return
    names = cut or names
    trained = obs.subject.trained
    if not names or (len(names) == len(trained) and _has_learnt(obs)):
        return
    share = sum(trained[name].numel() for name in names) / max(1, sum(p.numel() for p in trained.values()))
    how = "is cut off from the loss" if cut else "has a gradient of exactly 0"
    yield Finding(
        "no_gradient_reaches",
        listed(names),
        "severe" if (cut and share > _MOST) or len(names) == len(trained) else "warning",
        {"weights": len(names), "share_of_trained": share, "steps": len(obs.without_penalties.steps)},
        why=f"In {len(obs.without_penalties.steps)} steps the loss gave {len(names)} of {len(trained)} weights no "
        f"gradient: {share:.0%} of what is trained {how}, and is moved by penalties and decay alone.",
        change="Look for detach(), torch.no_grad(), rounding or argmax behind these weights, and for layers that "
        "forward does not use; freeze or remove what is not meant to learn.",
        blame=share,
    )


def _has_learnt(obs: Observed) -> bool:
    """Whether there is no gradient as there is nothing left to learn, as under a hinge loss of 0."""
    paired, unrelated = paired_and_unrelated(obs)
    return 0 <= paired < _LEARNT * unrelated
