"""Weights that get no gradient from the loss; only penalties and decay move them."""

from __future__ import annotations

from collections.abc import Iterator

from regtorch.doctor.finding import Finding, listed
from regtorch.doctor.measure import dead_units
from regtorch.doctor.observe.observed import Observed
from regtorch.doctor.observe.starting_point import has_learnt

__all__ = ["find", "unreached"]

_MOST = 0.5  # of the trained weights


def unreached(obs: Observed) -> list[str]:
    """The trained weights without a nonzero gradient of the loss in all watched steps."""
    if not obs.without_penalties.steps:
        return []
    # Penalties on activities use the same backward pass as the task.
    reached = [obs.without_penalties.reached, *([] if obs.subject.activities else [obs.with_rules.reached])]
    return [n for n, p in obs.subject.trained.items() if p.numel() and not any(found.get(n) for found in reached)]


def find(obs: Observed) -> Iterator[Finding]:
    """`no_gradient_reaches`, or `no_gradient` if all weights are cut off.

    Zero gradients explained by dead or symmetric units are reported there.
    """
    names = unreached(obs)
    cut = [name for name in names if name not in obs.without_penalties.reached]
    if not cut and (obs.with_rules.symmetric or dead_units.are_idle(obs)):
        return
    names = cut or [name for name in names if not _cancels(obs, name, names)]
    trained = obs.subject.trained
    # A net that has learnt may have no gradient because nothing is left to learn, as with a hinge loss of 0.
    if not names or (len(names) == len(trained) and has_learnt(obs)):
        return
    if len(cut) == len(trained):
        yield _cut_off(obs)
        return
    share = sum(trained[name].numel() for name in names) / max(1, sum(p.numel() for p in trained.values()))
    how = "is disconnected from the loss" if cut else "has a gradient of exactly 0"
    yield Finding(
        "no_gradient_reaches",
        listed(names),
        "severe" if (cut and share > _MOST) or len(names) == len(trained) else "warning",
        {"weights": len(names), "share_of_trained": share, "steps": len(obs.without_penalties.steps)},
        why=f"In {len(obs.without_penalties.steps)} steps {len(names)} of {len(trained)} weights got no gradient from "
        f"the loss: {_percent(share)} of the trained parameters {how}; only penalties and decay move them.",
        change="Look for detach(), torch.no_grad(), rounding or argmax after these weights, and for layers that "
        "forward does not use; freeze or remove weights that should not learn.",
        blame=share,
    )


def _cut_off(obs: Observed) -> Finding:
    steps = len(obs.without_penalties.steps)
    return Finding(
        "no_gradient",
        "loss",
        "severe",
        {"steps": steps, "weights": len(obs.subject.trained)},
        why=f"In {steps} steps no weight got a gradient: all are disconnected from the loss, although backward() runs.",
        change="Look for detach(), .item(), torch.tensor(loss), requires_grad_(), argmax or torch.no_grad() between "
        "the weights and the loss.",
        blame=1.0,
    )


def _percent(share: float) -> str:
    return "under 1%" if share < 0.01 else f"{share:.0%}"


def _cancels(obs: Observed, name: str, unreached_names: list[str]) -> bool:
    """Whether a bias does nothing because outputs are compared with each other: its own weight has a gradient."""
    weight = f"{name.removesuffix('bias')}weight"
    return name.endswith("bias") and weight in obs.subject.trained and weight not in unreached_names
