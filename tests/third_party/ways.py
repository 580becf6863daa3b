"""Where way 3 ends, beside ways 1 and 2, and whether constraints hold."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import regtorch as rt
from third_party.runs import CLOSE, RULES, SILENT, Runs, Skip, Wrong, sentence
from third_party.training import apart, net, train

__all__ = ["closure", "holds", "ways", "zeroed"]

MARKS = {"equal": "=", "inside": "in", "way 2": "2", "rounding": "~"}


def ways(name: str) -> Callable[[Runs], str]:
    """Where way 3 ends, beside the other ways."""

    def check(runs: Runs) -> str:
        case = runs.case
        penalty = isinstance(RULES[name], rt.Penalty)
        if case.expect in SILENT:
            return told(runs, name)
        none, one, two = runs("none"), runs("1", name), runs("2" if penalty and case.has_way_2 else "1", name)
        effect = apart(two, none)
        if not effect > 1e-8:
            raise Skip(f"{name} moves the weights by {effect:.0e} only")
        close = min(CLOSE, 1e-4 * effect)
        three = runs.attached(name)
        to_one, to_two = apart(three, one), apart(three, two)
        if to_one <= close and to_two <= close:
            found = "equal"
        elif to_two <= close and apart(one, two) <= 30 * apart(two, runs("2", name, jitter=1e-15)):
            found = "rounding"
        elif to_two <= close:
            found = "way 2"
        elif any(apart(three, runs(way, name)) <= close for way in ("inside", *([] if penalty else ["both"]))):
            found = "inside"
            decays = "weight_decay" in case.inner(case.build(net()[0])).param_groups[0]
            if name == "L2" and decays and case.steps_once:
                off = apart(three, runs("decay", name))
                if off > close:
                    raise Wrong(f"inside, but {off:.1e} off the inner weight_decay")
        elif apart(three, none) <= close:
            raise Wrong(f"without any effect ({effect:.1e} expected)")
        else:
            raise Wrong(f"{to_one:.1e} off way 1, {to_two:.1e} off way 2, {apart(three, none):.1e} off no rule")
        accepted = {case.expect, "equal"} if penalty else {case.expect, "equal", "inside"}  # `holds` looks at the rest
        if found not in accepted:
            raise Wrong(f"{found} where {case.expect} is expected ({to_one:.1e} off way 1, {to_two:.1e} off way 2)")
        return MARKS[found]

    return check


def told(runs: Runs, name: str) -> str:
    """That the case is refused or warned of, by a sentence."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            after = runs.attached(name)
    except (TypeError, ValueError) as error:
        sentence(error)
        return "R"
    if any("has not acted" in str(warning.message) for warning in caught) and runs.case.expect == "warned":
        return "W"
    raise Wrong(f"not {runs.case.expect}; {apart(after, runs('none')):.1e} off no rule")


def closure(runs: Runs) -> str:
    """The same by `step(closure)`."""
    if runs.case.closure is None or runs.case.expect in SILENT:
        raise Skip("takes none")
    drive = runs.case.closure
    try:
        none = runs("none", drive=drive)
    except Exception as error:
        raise Skip(f"fails by itself: {error}") from error
    if apart(none, runs("none")) > CLOSE:
        raise Skip("a closure is another training here")
    off = apart(runs.attached(drive=drive), runs.attached())
    if off > CLOSE:
        raise Wrong(f"with a closure {off:.1e} off the same without")
    return "="


def zeroed(runs: Runs) -> str:
    """The same where gradients are zeroed by the optimizer: torch wraps some optimizers' `step` only then."""
    if runs.case.expect in SILENT or not runs.case.has_zero_grad:
        raise Skip("refused")
    try:
        none = runs("none", zero_by_optimizer=True)
    except Exception as error:
        raise Skip(f"fails by itself: {error}") from error
    if apart(none, runs("none")) > CLOSE:
        raise Skip("another training here")
    off = apart(runs.attached(zero_by_optimizer=True), runs.attached())
    if off > CLOSE:
        raise Wrong(f"{off:.1e} apart: zeroed by the optimizer or by the model")
    return "="


def holds(runs: Runs) -> str:
    """Constraints hold after every step of what the user calls, in any set, or a warning comes."""
    if runs.case.expect in SILENT:
        raise Skip("nothing acts")
    mark = "="
    for rule in (RULES["MaxNorm"], rt.UnitNorm()):
        if runs.case.averages and isinstance(rule, rt.UnitNorm):
            return "in"
        outside: list[float] = []
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            train(runs.case, "3", rule, look=lambda bound, to=outside: to.append(float(bound.violation())))
        violated = max(outside) > CLOSE
        if violated != any("moved them after the projection" in str(w.message) for w in caught):
            raise Wrong(f"{rule!r} is violated by {max(outside):.1e} after a step, {len(caught)} warnings")
        if violated and not runs.case.warns:
            raise Wrong(f"{rule!r} is warned of only; this wrapper's step runs hooks")
        mark = "W" if violated else mark
    return mark
