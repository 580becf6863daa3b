"""The trainings of one optimizer, and how a check ends."""

from __future__ import annotations

from typing import Any

import regtorch as rt
from third_party.training import Case, train

__all__ = ["CLOSE", "RULES", "SILENT", "Runs", "Skip", "Wrong", "by_hand_of", "sentence"]

CLOSE = 1e-10
RULES: dict[str, rt.Penalty | rt.Constraint] = {
    "L2": rt.L2(0.1, select="all"),
    "L1": rt.L1(0.05),
    "GroupLasso": rt.GroupLasso(0.05),
    "MaxNorm": rt.MaxNorm(0.4),
}
SILENT = {"refused", "warned"}  # nothing else is to be looked at there


class Wrong(Exception):
    """Something that a user would not forgive; the text says what."""


class Skip(Exception):
    """This check says nothing about this optimizer; the text says why."""


def sentence(error: BaseException) -> str:
    """The text of a refusal that helps."""
    text = str(error)
    if not isinstance(error, (TypeError, ValueError)) or not text.startswith("attach: ") or len(text) < 60:
        raise Wrong(f"crashes: {type(error).__name__}: {text[:150]}") from error
    return text


class Runs:
    """The trainings of one case, each made once."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self._made: dict[tuple[str, str, str], Any] = {}

    def __call__(self, way: str, rule: str = "L2", **options: Any) -> Any:
        of = RULES[rule] if way != "none" else None
        if callable(options.get("meddle")):
            return train(self.case, way, of, **options)
        key = (way, repr(of), repr(sorted(options.items())))
        if key not in self._made:
            self._made[key] = train(self.case, way, of, **options)
        return self._made[key]

    def attached(self, rule: str = "L2", **options: Any) -> Any:
        """Way 3; a refusal is passed on, anything else that is raised is wrong."""
        try:
            return self("3", rule, **options)
        except Wrong:
            raise
        except Exception as error:
            if isinstance(error, TypeError | ValueError) and str(error).startswith("attach: "):
                raise
            raise Wrong(f"crashes: {type(error).__name__}: {str(error)[:150]}") from error


def by_hand_of(case: Case) -> str:
    """The way without hooks that is the same training."""
    return "inside" if case.expect == "inside" else "2" if case.has_way_2 else "1"
