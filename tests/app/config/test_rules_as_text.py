"""What a rule is without arguments, and how it prints: one row for each public rule."""

from __future__ import annotations

import dataclasses

import pytest

import regtorch as rt
from cases import CONSTRAINTS, PENALTIES, ConstraintCase, PenaltyCase, every
from regtorch.rule import Rule

DEFAULTS: dict[type[Rule], str] = {
    rt.L1: "L1(lam=0.01)",
    rt.L2: "L2(lam=0.01)",
    rt.L1L2: "L1L2(l1=0.0, l2=0.0)",
    rt.ElasticNet: "ElasticNet(alpha=0.01, l1_ratio=0.5)",
    rt.GroupLasso: "GroupLasso(lam=0.01)",
    rt.Orthogonal: "Orthogonal(lam=0.01, mode='rows')",
    rt.Hoyer: "Hoyer(lam=0.01)",
    rt.HoyerSquare: "HoyerSquare(lam=0.01)",
    rt.SparseGroupLasso: "SparseGroupLasso(l1=0.01, lam=0.01)",
    rt.SpectralNorm: "SpectralNorm(lam=0.01)",
    rt.NuclearNorm: "NuclearNorm(lam=0.01)",
    rt.SoftOrthogonal: "SoftOrthogonal(lam=0.01)",
    rt.MaxNorm: "MaxNorm(max_value=2.0)",
    rt.UnitNorm: "UnitNorm()",
    rt.NonNeg: "NonNeg()",
    rt.Box: "Box(low=-1.0, high=1.0)",
    rt.L1Ball: "L1Ball(radius=1.0)",
    rt.Simplex: "Simplex(total=1.0)",
    rt.SpectralMax: "SpectralMax(max_value=1.0)",
    rt.MinMaxNorm: "MinMaxNorm(min_value=0.0, max_value=1.0, rate=1.0)",
}
BY_NAME = {"select": "bias", "dim": (0, 1), "epsilon": 1e-7, "blocks": 2}


def test_every_public_rule_has_a_row():
    assert DEFAULTS.keys() == {type(case.rule) for case in (*PENALTIES.values(), *CONSTRAINTS.values())} - {rt.Custom}


@pytest.mark.parametrize("rule", DEFAULTS, ids=lambda rule: rule.__name__)
def test_defaults(rule: type[Rule]):
    made = rule()
    assert repr(made) == DEFAULTS[rule]
    assert made.select == "kernel"
    assert getattr(made, "dim", None) is None
    assert getattr(made, "epsilon", 0.0) == 0.0


@pytest.mark.parametrize("rule", DEFAULTS, ids=lambda rule: rule.__name__)
def test_what_is_given_by_name_is_shown_where_it_is_not_the_default(rule: type[Rule]):
    given = {f.name: BY_NAME[f.name] for f in dataclasses.fields(rule) if f.kw_only}
    made = rule(**given)
    plain = DEFAULTS[rule].removesuffix(")")
    shown = ", ".join(f"{name}={given[name]!r}" for name in ("dim", "blocks", "epsilon", "select") if name in given)
    assert repr(made) == f"{plain}{', ' * (not plain.endswith('('))}{shown})"


@every({name: case for name, case in {**PENALTIES, **CONSTRAINTS}.items() if name != "Custom"})  # holds a function
def test_what_is_printed_makes_the_same_rule(case: PenaltyCase | ConstraintCase):
    assert eval(repr(case.rule), vars(rt)) == case.rule


@pytest.mark.parametrize("rule", DEFAULTS, ids=lambda rule: rule.__name__)
def test_every_rule_checks_its_selection(rule: type[Rule]):
    with pytest.raises(TypeError, match=f"{rule.__name__}: select must be a string"):
        rule(select=3)
