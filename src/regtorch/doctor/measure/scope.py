"""Rules, or the optimizer's weight decay, on weights that they should not act on, or act on twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import log

from torch import nn

from regtorch.counted import counted
from regtorch.doctor.causes import Severity
from regtorch.doctor.finding import Finding, listed
from regtorch.doctor.measure.pull import LATE, RATIO
from regtorch.doctor.measure.weaker import scaled
from regtorch.doctor.observe.observed import Observed
from regtorch.doctor.observe.optimizer_copy import rate_of
from regtorch.doctor.remedy import Remedy
from regtorch.penalties import L1, L1L2, Elementwise, GroupLasso, Penalty
from regtorch.select.language import SelectionError, choose, parse
from regtorch.select.roles import Role
from regtorch.select.weight import Weight, weights_of

__all__ = ["acting_decays", "find"]

_WHY: Mapping[Role, str] = {
    "bias": "A bias shifts its unit and does not cause overfitting; pulled towards 0 it cannot fit the data.",
    "norm": "Scale and shift of a norm layer set the size of its outputs; pulled towards 0 they disable channels.",
}


def find(obs: Observed) -> Iterator[Finding]:
    """`bias_penalised`, `norm_penalised` and `decay_twice`, whatever they cost here."""
    for role in _WHY:
        yield from _by_rules(obs, role)
        yield from _by_decay(obs, role)
    yield from _twice(obs)


# Rules


def _by_rules(obs: Observed, role: Role) -> Iterator[Finding]:
    unintended: dict[str, Penalty] = {}
    intended: dict[str, Penalty] = {}
    for factor, term in obs.subject.terms:
        if term.rule.active and factor:
            weights = [weight for weight, _ in term.weights()]
            chosen = intended if _is_intended(term.rule.select, role, weights) else unintended
            chosen |= {weight.name: term.rule for weight in weights if weight.role == role}
    if unintended:
        change, remedy = _excluded(obs, role, next(iter(unintended.values())))
        yield _of_role(obs, role, list(unintended), "warning", _WHY[role], change, remedy)
    if intended:
        why, change = _effect(role, next(iter(intended.values())), list(intended))
        yield _of_role(obs, role, list(intended), "info", why, change, None)


def _of_role(
    obs: Observed, role: Role, names: Sequence[str], severity: Severity, why: str, change: str, remedy: Remedy | None
) -> Finding:
    values = obs.subject.penalty_values()
    total = sum(values.values())
    share = sum(values.get(name, 0.0) for name in names) / total if total else 0.0
    return Finding(
        f"{role}_penalised",
        listed(names),
        severity,
        {"weights": len(names), "share_of_penalty": share},
        why=why,
        change=change,
        remedy=remedy,
        blame=share,
    )


def _is_intended(select: str, role: Role, weights: Sequence[Weight]) -> bool:
    """Whether a rule names the role, or acts on nothing else."""
    named = any(atom.kind == role and not atom.negated for alternative in parse(select) for atom in alternative)
    return named or all(weight.role == role for weight in weights)


def _effect(role: Role, rule: Penalty, names: Sequence[str]) -> tuple[str, str]:
    if role == "bias":
        return (
            f"{rule!r} pulls {counted(len(names), 'bias', 'biases')} towards 0, where a bias has no effect.",
            "Nothing if small biases are intended.",
        )
    if not isinstance(rule, L1 | L1L2 | GroupLasso):
        return (
            f"{rule!r} selects {counted(len(names), 'norm weight')} and shrinks every scale, but makes none exactly 0.",
            "Nothing if small scales are intended; use an L1 to disable channels.",
        )
    shifts = any(name.endswith("bias") for name in names)
    spared = f"; select={rule.select + ' -name:*bias'!r} spares the shifts" if shifts else ""
    return (
        f"{rule!r} selects {len(names)} norm weights: it drives the scales of channels to 0 one by one, which is "
        "network slimming.",
        f"Nothing if channels with a scale near 0 are to be pruned{spared}.",
    )


def _excluded(obs: Observed, role: Role, rule: Penalty) -> tuple[str, Remedy]:
    """A `select` without the role that selects something and nothing new."""
    select = rule.select
    without = "|".join(f"{part.strip()} -{role}" for part in select.split("|"))
    for other in ("kernel", without):
        try:
            chosen = choose(obs.subject.model, other).chosen
        except SelectionError:
            continue
        if {weight.name for weight in chosen} <= {weight.name for weight in choose(obs.subject.model, select).chosen}:
            advice = "Penalise kernels only" if other == "kernel" else f"Exclude weights of the role {role}"
            return f"{advice}: select={other!r}.", Remedy("select", value=other, rules=[rule.selecting(other)])
    return "Remove the penalty.", Remedy("strength", value=0.0, rules=[rule.scaled(0.0)] if rule.strengths else [])


# The optimizer's decay


def acting_decays(obs: Observed) -> list[str]:
    """The weights that decay halves within a training, or pulls noticeably compared to the task."""
    subject = obs.subject
    groups = subject.optimizer.param_groups if subject.optimizer else []
    steps = obs.with_rules.steps

    def acts(name: str) -> bool:
        decay = subject.decays[name]
        group = groups[decay.group]
        inertia = group.get("momentum", 0.0) if not decay.decoupled else 0.0
        rate = rate_of(group) * decay.value / (1 - inertia if isinstance(inertia, float) and inertia < 1 else 1)
        forces = [found for step in steps if (found := step.decays.get(name)) is not None]
        pulled = any(one.penalty >= RATIO[1] * one.task > 0 for one in forces)
        return rate * LATE >= log(2) or pulled

    return [name for name in subject.decays if acts(name)]


def _by_decay(obs: Observed, role: Role) -> Iterator[Finding]:
    roles = {id(p): w.role for w in weights_of(obs.subject.model) for p in w.leaves(obs.subject.model)}
    decays = obs.subject.decays
    names = [name for name in acting_decays(obs) if roles.get(id(obs.subject.trained[name])) == role]
    if names:
        values = {decays[name].value for name in names}
        yield Finding(
            f"{role}_penalised",
            f"optimizer.weight_decay of {listed(names)} (group {decays[names[0]].group})",
            "info",
            {"weights": len(names), "weight_decay": max(values), "group": decays[names[0]].group},
            why=f"The optimizer's weight decay of {max(values):g} acts on {counted(len(names), 'weight')} of the "
            f"role {role} too: torch's optimizers decay all their parameters. {_WHY[role]}",
            change="Nothing if your recipe does so; otherwise put them into a parameter group with weight_decay=0.",
        )


def _twice(obs: Observed) -> Iterator[Finding]:
    decays = {id(obs.subject.trained[name]): decay.value for name, decay in obs.subject.decays.items()}
    twice: dict[str, float] = {}
    strongest = 0.0
    for factor, term in obs.subject.terms:
        l2 = term.rule.coefficients[1] * factor if isinstance(term.rule, Elementwise) else 0.0
        for weight, p in term.weights():
            if isinstance(p, nn.Parameter) and l2 and decays.get(id(p)):
                twice[weight.name] = decays[id(p)]
                strongest = max(strongest, 2 * l2)
    if twice:
        yield Finding(
            "decay_twice",
            listed(list(twice)),
            "warning",
            {"weight_decay": max(twice.values()), "penalty_as_weight_decay": strongest},
            why="The optimizer's weight_decay and the penalty shrink the same weights; neither is the full strength.",
            change="Set the optimizer's weight_decay to 0, or remove the penalty.",
            remedy=scaled(obs.subject, list(twice), 0.0, decay=True),
        )
