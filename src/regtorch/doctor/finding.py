"""What the doctor says: one cause, the numbers that show it, and what to change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite

from regtorch.doctor.causes import CAUSES, SEVERITIES, Severity, precedence
from regtorch.doctor.remedy import Remedy

__all__ = ["Finding", "Refused", "Unfit", "fmt", "in_order", "listed"]


@dataclass(frozen=True)
class Finding:
    """One cause.

    Attributes:
        cause: a stable identifier, such as "penalty_dominates".
        where: the weight, layer, input, label or optimizer setting it is about.
        severity: "severe" where training cannot go well, "warning" where it goes worse, "info" otherwise.
        numbers: what was measured.
        why: one sentence.
        change: one sentence: what to change.
        remedy: the change as data; None where the sentence says all there is.
        blame: orders the findings of one severity and one rank of causes, the larger the earlier.

    Raises:
        ValueError: the cause is not in the table of causes, or there is no such severity.

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


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """The findings, the most to blame first."""
    return sorted(findings, key=lambda finding: (precedence(finding.severity, finding.cause), -finding.blame))


class Refused(ValueError):
    """What was given cannot be examined: the one error that a measurement passes on."""


class Unfit(Exception):
    """Model, loss or optimizer fail on what was given: its finding says so, and nothing more can be measured."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(f"{finding.where}: {finding.why}")
        self.finding = finding


def listed(names: Sequence[str], most: int = 4) -> str:
    """The first names, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def fmt(value: float, form: str = ".3g") -> str:
    """A number in a sentence."""
    return format(value, form) if isfinite(value) else "more than any number"
