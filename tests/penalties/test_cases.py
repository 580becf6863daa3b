import inspect

import regtorch as rt
from cases import CONSTRAINTS, PENALTIES


def public(base: type) -> set[type]:
    found = [getattr(rt, name) for name in rt.__all__]
    return {c for c in found if inspect.isclass(c) and issubclass(c, base) and not inspect.isabstract(c)}


def test_every_public_penalty_has_a_row():
    of_their_own = {
        rt.EWC,
        rt.L2SP,
        rt.FusedLasso,
        rt.TotalVariation,
    }  # tested by themselves
    assert public(rt.Penalty) - of_their_own == {type(case.rule) for case in PENALTIES.values()}


def test_every_public_constraint_has_a_row():
    assert public(rt.Constraint) == {type(case.rule) for case in CONSTRAINTS.values()}
