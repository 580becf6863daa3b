"""A finding: one cause, the numbers that show it, and what to change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from math import isfinite

from regtorch.doctor.causes import CAUSES, SEVERITIES, Severity, precedence, title_of
from regtorch.doctor.remedy import Remedy
from regtorch.notebook import Shown, bold, code, line, pre, table

__all__ = ["Finding", "Findings", "Refused", "Unfit", "fmt", "in_order", "listed"]


@dataclass(frozen=True)
class Finding(Shown):
    """One cause found in a setup.

    Attributes:
        cause: a stable identifier, such as "penalty_dominates".
        where: the weight, layer, input, label or optimizer setting concerned.
        severity: "severe" if training cannot go well, "warning" if it goes worse, "info" otherwise.
        numbers: the measured values.
        why: the evidence, in one sentence.
        change: what to change, in one sentence.
        remedy: the change as data; None if it cannot be expressed so.
        blame: ranks findings of equal severity and equal rank of causes; larger comes first.

    Raises:
        ValueError: unknown cause or severity.

    Example:
        >>> Finding("bias_penalised", "head.bias", "warning", why="...", change="...").cause
        'bias_penalised'
    """

    cause: str
    where: str
    severity: Severity
    numbers: Mapping[str, float] = field(default_factory=dict)
    why: str = field(kw_only=True)
    change: str = field(kw_only=True)
    remedy: Remedy | None = field(default=None, kw_only=True)
    blame: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            raise ValueError(f"Finding: severity must be one of {', '.join(SEVERITIES)}, received {self.severity!r}")
        if self.cause not in CAUSES:
            raise ValueError(f"Finding: cause must be in the table regtorch.doctor.causes, received {self.cause!r}")

    def __str__(self) -> str:
        return f"{self.severity}  {title_of(self.cause)}: {self.where}\n{self.why}\nChange: {self.change}"

    def _repr_html_(self) -> str:
        return Findings([self])._repr_html_()


class Findings(Shown, list[Finding]):
    """A list of findings, most important first; `print` and a notebook show them with their evidence.

    Example:
        >>> print(Findings())
        Nothing found that needs a change.
    """

    @property
    def _heading(self) -> str:
        """What is said before the findings."""
        return ""

    @property
    def _if_none(self) -> str:
        """What is said in place of findings."""
        return "Nothing found that needs a change."

    def __str__(self) -> str:
        parts = [
            "\n".join([f"{number}  {first}", *(f"   {text}" for text in rest)])
            for number, (first, *rest) in enumerate((str(finding).splitlines() for finding in self), 1)
        ]
        return "\n\n".join([self._heading] * bool(self._heading) + (parts or [self._if_none]))

    def _repr_html_(self) -> str:
        above = line(escape(self._heading)) if self._heading else ""
        if not self:
            return above + line(escape(self._if_none))
        return above + table(("severity", "finding", "why", "change"), [_cells(finding) for finding in self])


def in_order(findings: Iterable[Finding]) -> Findings:
    """Sort findings, most important first; among equally severe ones those last that ask for nothing."""
    return Findings(sorted(findings, key=_order))


def _cells(finding: Finding) -> tuple[str, str, str, str]:
    remedy = finding.remedy.python() if finding.remedy is not None else ""
    what = bold(title_of(finding.cause)) + line(code(finding.where))
    change = escape(finding.change) + (pre(remedy) if remedy else "")
    return escape(finding.severity), what, escape(finding.why), change


def _order(finding: Finding) -> tuple[int, bool, int, float]:
    severity, cause = precedence(finding.severity, finding.cause)
    return severity, finding.change.startswith("Nothing"), cause, -finding.blame


class Refused(ValueError):
    """Invalid input of `diagnose`: the one error that a measurement lets propagate."""


class Unfit(Exception):
    """Model, loss or optimizer failed: reported as a finding, and nothing more can be measured."""

    def __init__(
        self, cause: str, where: str, severity: Severity = "severe", *, why: str, change: str, **numbers: float
    ) -> None:
        super().__init__(f"{where}: {why}")
        self.finding = Finding(cause, where, severity, numbers, why=why, change=change)


def listed(names: Sequence[str], most: int = 4) -> str:
    """The first names, and the number of further ones."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def fmt(value: float, form: str = ".3g") -> str:
    """Format a number for a sentence."""
    return format(value, form) if isfinite(value) else "more than any number"
