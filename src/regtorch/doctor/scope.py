"""Rules on weights that they should leave alone, and two that do the same."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from regtorch.doctor.exam import Exam
from regtorch.doctor.finding import Finding, listed
from regtorch.penalties import Elementwise

__all__ = ["find"]


def find(exam: Exam) -> Iterator[Finding]:
    """`bias_penalised`, `norm_penalised` and `decay_twice`: reported whatever they cost here."""
    yield from _roles(exam)
    yield from _decay(exam)


def _roles(exam: Exam) -> Iterator[Finding]:
    whole = sum(exam.penalty_now.values())
    for role, cause, why in (
        (
            "bias",
            "bias_penalised",
            "A bias shifts its unit and does not make it overfit; pulled towards 0 it cannot follow the data.",
        ),
        (
            "norm",
            "norm_penalised",
            "Scale and shift of a norm layer set the size of what follows; pulled towards 0 they switch channels off.",
        ),
    ):
        names = [
            weight.name
            for factor, term in exam.patient.terms
            if term.rule.active and factor
            for weight, _ in term.weights()
            if weight.role == role
        ]
        if names:
            share = sum(exam.penalty_now.get(name, 0.0) for name in names) / whole if whole else 0.0
            yield Finding(
                cause,
                listed(names),
                "warning",
                {"weights": len(names), "share_of_penalty": share},
                why=why,
                change="Penalise kernels alone: select='kernel'.",
                override="reg.select=kernel",
                blame=share,
            )


def _decay(exam: Exam) -> Iterator[Finding]:
    optimizer = exam.patient.optimizer
    decays = {
        id(p): g.get("weight_decay") or 0.0 for g in (optimizer.param_groups if optimizer else ()) for p in g["params"]
    }
    twice: dict[str, float] = {}
    strongest = 0.0
    for factor, term in exam.patient.terms:
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
            why="The optimizer's own weight_decay and the penalty shrink the same weights, so neither is the strength.",
            change="Set the optimizer's weight_decay to 0, or leave the penalty out.",
            override="optimizer.weight_decay=0",
        )
