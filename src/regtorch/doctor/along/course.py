"""What looks show one after the other: when a sign begins, when it has lasted long enough to be told, when it ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from regtorch.doctor.causes import SEVERITIES, Severity
from regtorch.doctor.finding import Finding, listed

__all__ = ["Course", "Sign"]


@dataclass(frozen=True)
class Sign:
    """What one look shows of one part of a training."""

    cause: str
    part: str  # the weight, layer or setting
    severity: Severity
    numbers: Mapping[str, float] = field(default_factory=dict)
    why: str = field(kw_only=True)
    change: str = field(kw_only=True)
    patience: int = field(kw_only=True)  # looks in a row that must show it
    blame: float = field(default=0.0, kw_only=True)  # the part with the largest one is described


@dataclass
class _Streak:
    began: int  # the step of the first look that showed it
    healthy: int | None  # the step of the look before
    looks: int = 0


class Course:
    """The findings of one kind of looks.

    Attributes:
        findings: by cause; one that no longer shows has the step of the first look without it under "recovered".
    """

    def __init__(self) -> None:
        self.findings: dict[str, Finding] = {}
        self._streaks: dict[tuple[str, str], _Streak] = {}
        self._last: int | None = None

    def take(self, signs: Iterable[Sign], step: int) -> list[Finding]:
        """Take in all that a look at `step` shows; what is new, or worse than it was."""
        found = {(sign.cause, sign.part): sign for sign in signs}
        self._streaks = {key: streak for key, streak in self._streaks.items() if key in found}
        for key in found:
            self._streaks.setdefault(key, _Streak(step, self._last)).looks += 1
        self._last = step
        lasting: dict[str, list[Sign]] = {}
        for key, sign in found.items():
            if self._streaks[key].looks >= sign.patience:
                lasting.setdefault(sign.cause, []).append(sign)
        news = [finding for parts in lasting.values() if (finding := self._told(parts)) is not None]
        for cause, finding in self.findings.items():
            if cause not in lasting and "recovered" not in finding.numbers:
                self.findings[cause] = replace(
                    finding,
                    numbers={**finding.numbers, "recovered": step},
                    why=f"{finding.why} At step {step} it no longer shows.",
                )
        return news

    def _told(self, parts: Sequence[Sign]) -> Finding | None:
        worst = max(parts, key=lambda sign: (-SEVERITIES.index(sign.severity), sign.blame))
        known = self.findings.get(worst.cause)
        if known is not None and SEVERITIES.index(known.severity) <= SEVERITIES.index(worst.severity):
            return None
        first = min((self._streaks[sign.cause, sign.part] for sign in parts), key=lambda streak: streak.began)
        numbers = {**worst.numbers, "step": first.began}
        if first.healthy is None:
            when = f"It shows since the first look, at step {first.began}."
        else:
            numbers["healthy_until"] = first.healthy
            when = f"It began between steps {first.healthy} and {first.began}."
        finding = Finding(
            worst.cause,
            listed([sign.part for sign in parts]),
            worst.severity,
            numbers,
            why=f"{worst.why} {when}",
            change=worst.change,
            blame=worst.blame,
        )
        self.findings[worst.cause] = finding
        return finding
