"""Constraints that are too tight: what they remove from the outputs, and which loss the head can still reach."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import log

import torch
from torch import Tensor

from regtorch.bound.constraint import BoundConstraint
from regtorch.constraints import MaxNorm
from regtorch.doctor.causes import Severity
from regtorch.doctor.finding import Finding, fmt, listed
from regtorch.doctor.measure.head import floor
from regtorch.doctor.observe.attempt import Attempt, attempt
from regtorch.doctor.observe.calls import hooked
from regtorch.doctor.observe.head_bounds import last_with_weights
from regtorch.doctor.observe.observed import Observed
from regtorch.doctor.observe.restored import restored, seed
from regtorch.doctor.observe.starting_point import starts_large
from regtorch.doctor.remedy import Remedy
from regtorch.select.language import SelectionError
from regtorch.select.weight import modules_of

__all__ = ["find"]

_CUT = 0.05  # of the outputs' spread, left after the first projection
_FLOOR = 0.9, 0.6  # severe, warning: the lowest loss that the head can reach, relative to chance
_REACH = 0.1, 0.5  # severe, warning: the spread that the head can reach, relative to the targets
_USUAL = 2.0, 3.0, 4.0, 8.0  # values of a MaxNorm
_MOST = 0.5  # of the outputs' spread
_LARGE = 1e4  # scales the weights up to where a constraint caps them


def find(obs: Observed) -> Iterator[Finding]:
    """`constraint_too_tight`: a projection removes the outputs' spread, or keeps the head from its targets."""
    for bound in obs.subject.constraints:
        cut = list(_cut(obs, bound))
        yield from cut or _short(obs, bound)


def _cut(obs: Observed, bound: BoundConstraint) -> Iterator[Finding]:
    model = obs.subject.model
    with restored(model), torch.no_grad():
        before = _spread(obs)
        norms = {w.name: float(p.norm()) for w, p in bound.weights()}
        bound.project_()
        after = _spread(obs)
        left = {w.name: float(p.norm()) / norms[w.name] for w, p in bound.weights() if norms[w.name]}
    if before and left and after < _CUT * before and not starts_large(obs):
        change, remedy = _looser(obs, bound, before)
        worst = sorted(left, key=lambda name: left[name])
        yield Finding(
            "constraint_too_tight",
            listed([name for name in worst if left[name] < 0.5] or worst),
            "severe",
            {"spread_left": after / before, "least_norm_left": left[worst[0]]},
            why=f"{bound.rule!r} leaves {left[worst[0]]:.1%} of the norm of {worst[0]}: the outputs' spread over "
            f"samples shrinks to {after / before:.1e} of what it was, and gradients shrink as much.",
            change=change,
            remedy=remedy,
            blame=1 - after / before,
        )


def _looser(obs: Observed, bound: BoundConstraint, spread: float) -> tuple[str, Remedy]:
    """The first usual norm that learns and keeps most of the outputs' spread; otherwise no constraint."""
    for largest in _USUAL if isinstance(bound.rule, MaxNorm) else ():
        rule = replace(bound.rule, max_value=largest)
        other = rule.on(obs.subject.model)
        with restored(obs.subject.model), torch.no_grad():
            other.project_()
            left = _spread(obs)
        found = _with(obs, bound, [other])
        if left >= _MOST * spread and found.learns:
            remedy = Remedy("bound", _names(bound), largest, rules=[rule])
            return f"Use a larger norm, {largest:g} ({found.summary}).", remedy
    return _removed(obs, bound)


def _removed(obs: Observed, bound: BoundConstraint) -> tuple[str, Remedy]:
    return f"Remove the constraint ({_with(obs, bound, []).summary}).", Remedy("no constraint", _names(bound))


def _names(bound: BoundConstraint) -> list[str]:
    return [weight.name for weight, _ in bound.weights()]


def _without_head(obs: Observed, bound: BoundConstraint, name: str) -> tuple[str, Remedy]:
    select = "|".join(f"{part.strip()} -name:{name}" for part in bound.rule.select.split("|"))
    try:
        rule = bound.rule.selecting(select)
        other = [rule.on(obs.subject.model)]
    except SelectionError:  # the head is all that the constraint selects
        return _removed(obs, bound)
    remedy = Remedy("select", [name], select, rules=[rule])
    return f"Exclude the head from the constraint: select={select!r} ({_with(obs, bound, other).summary}).", remedy


def _with(obs: Observed, bound: BoundConstraint, replacement: list[BoundConstraint]) -> Attempt:
    kept = [constraint for constraint in obs.subject.constraints if constraint is not bound]
    return attempt(replace(obs.subject, constraints=[*kept, *replacement]))


def _spread(obs: Observed) -> float:
    seed(0)
    obs.subject.model.train()
    output = obs.subject.output(0)
    if not isinstance(output, Tensor) or not output.is_floating_point() or not output.ndim or len(output) < 2:
        return 0.0
    return float(output.float().std(0).norm())


def _short(obs: Observed, bound: BoundConstraint) -> Iterator[Finding]:
    """Computed from the largest norm that the constraint allows the head's units, and the head's inputs."""
    head = last_with_weights(obs)
    name = next((n for n, m in modules_of(obs.subject.model).items() if m is head), "")
    weight = next(((w, p) for w, p in bound.weights() if w.owner(obs.subject.model) is head and p.ndim == 2), None)
    if weight is None or obs.loss.task not in ("classes", "numbers"):
        return
    features = _features(obs, name)
    with restored(obs.subject.model), torch.no_grad():
        weight[1].mul_(_LARGE)
        bound.project_()
        cap = float(weight[1].float().norm(dim=1).max())
    reach = cap * float((features - features.mean(0)).square().sum(1).mean().sqrt()) if len(features) > 1 else 0.0
    if not reach:
        return
    numbers = {"largest_norm": cap, "reach": reach}
    if obs.loss.task == "classes":
        classes = obs.outputs[0].shape[1]
        least = floor(classes, 2 * reach) / log(classes)
        severity = _severity(least > _FLOOR[0], least > _FLOOR[1])
        numbers |= {"least_loss_over_chance": least}
        why = f"with the present features logits differ by at most {fmt(2 * reach)}, so the loss stays above "
        why += f"{least:.0%} of chance level"
    else:
        targets = obs.targets
        wanted = float(targets.float().std(0).max()) if targets is not None and len(targets) > 1 else 0.0
        severity = _severity(reach < _REACH[0] * wanted, reach < _REACH[1] * wanted)
        numbers |= {"targets_spread": wanted}
        why = f"with the present features outputs spread by at most {fmt(reach)}, and the targets by {fmt(wanted)}"
    if severity:
        change, remedy = _without_head(obs, bound, weight[0].name)
        yield Finding(
            "constraint_too_tight",
            weight[0].name,
            severity,
            numbers,
            why=f"{bound.rule!r} limits the norm of the head's units to {fmt(cap)}: {why}.",
            change=change,
            remedy=remedy,
            blame=0.5,
        )


def _severity(severe: bool, warning: bool) -> Severity | None:
    return "severe" if severe else "warning" if warning else None


def _features(obs: Observed, name: str) -> Tensor:
    seen: list[Tensor] = []

    def keep(entered: str, _: object, arguments: tuple[object, ...]) -> None:
        if entered == name and arguments and isinstance(arguments[0], Tensor):
            seen.append(arguments[0].detach().float().flatten(0, -2))

    with restored(obs.subject.model), torch.no_grad(), hooked(obs.subject.model, keep, lambda *_: None):
        obs.subject.model.eval()
        obs.subject.output(0)
    return seen[0] if seen else torch.zeros(0, 1)
