"""What a rule is without arguments, and how it prints."""

from __future__ import annotations

import dataclasses
import inspect

import pytest

import regtorch as rt
from cases import CONSTRAINTS, PENALTIES, ConstraintCase, PenaltyCase, every
from regtorch.rule import Rule

RULES = sorted({type(case.rule) for case in (*PENALTIES.values(), *CONSTRAINTS.values())} - {rt.Custom}, key=str)
BY_NAME = {"select": "bias", "dim": (0, 1), "epsilon": 1e-7, "blocks": 2}


def plain(rule: type[Rule]) -> str:
    """A rule by its signature, whose defaults docs/rules.md holds."""
    parameters = inspect.signature(rule).parameters.values()
    shown = ", ".join(f"{p.name}={p.default!r}" for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD)
    return f"{rule.__name__}({shown})"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_defaults(rule: type[Rule]):
    made = rule()
    assert repr(made) == plain(rule)
    assert made.select == "kernel"
    assert getattr(made, "dim", None) is None
    assert getattr(made, "epsilon", 0.0) == 0.0


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_what_is_given_by_name_is_shown_where_it_is_not_the_default(rule: type[Rule]):
    given = {f.name: BY_NAME[f.name] for f in dataclasses.fields(rule) if f.kw_only}
    made = rule(**given)
    start = plain(rule).removesuffix(")")
    shown = ", ".join(f"{name}={given[name]!r}" for name in ("dim", "blocks", "epsilon", "select") if name in given)
    assert repr(made) == f"{start}{', ' * (not start.endswith('('))}{shown})"


@every({name: case for name, case in {**PENALTIES, **CONSTRAINTS}.items() if name != "Custom"})  # holds a function
def test_what_is_printed_makes_the_same_rule(case: PenaltyCase | ConstraintCase):
    assert eval(repr(case.rule), vars(rt)) == case.rule


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_rule_checks_its_selection(rule: type[Rule]):
    with pytest.raises(TypeError, match=f"{rule.__name__}: select must be a string"):
        rule(select=3)
