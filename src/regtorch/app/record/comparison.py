"""Whether two runs have the same result, and what differs between them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from regtorch.app.record.json_file import flat, plain
from regtorch.app.record.later_settings import completed
from regtorch.app.record.run_record import RunRecord
from regtorch.app.record.same_settings import placeless

__all__ = ["Comparison", "Difference"]

_NO_RESULT = ("resume", "save_every", "debug")
_ORIGIN = ("device_name", "threads", "deterministic", "git", "data")


@dataclass(frozen=True)
class Difference:
    """A value that differs."""

    name: str
    before: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.name}: {_shown(self.before)}, now {_shown(self.now)}"


@dataclass(frozen=True)
class Comparison:
    """Two records of one run."""

    results: list[Difference]  # metrics and weights
    origins: list[Difference]  # versions, device, threads, git, data, settings
    metrics: int  # how many were compared
    weights: bool  # whether both records have a checksum of the weights

    @classmethod
    def of(cls, before: RunRecord, now: RunRecord) -> Comparison:
        """Compare two records."""
        one, other = (dict(_results(record)) for record in (before, now))
        weights = [record.provenance.get("weights") for record in (before, now)]
        known = None not in weights
        results = _differences(one, other)
        if known and weights[0] != weights[1]:
            results.append(Difference("weights", *weights))
        origins = _differences(*(dict(_origins(record)) for record in (before, now)))
        return cls(results, origins, len({**one, **other}), known)

    @property
    def same(self) -> bool:
        """Whether the results are equal to the bit."""
        return not self.results

    @property
    def within(self) -> float | None:
        """The largest relative difference of a metric; None if one is missing or not a number."""
        numbers = [d for d in self.results if d.name != "weights"]
        if not all(isinstance(value, int | float) for d in numbers for value in (d.before, d.now)):
            return None
        return max((_relative(d.before, d.now) for d in numbers), default=0.0)

    def __str__(self) -> str:
        compared = f"{self.metrics} metrics" + (" and all weights" if self.weights else "")
        unknown = "" if self.weights else "; the record has no checksum of the weights"
        if self.same:
            lines = [f"the same to the bit ({compared}{unknown})"]
        else:
            within = self.within
            how = "" if within is None else f", metrics within a relative difference of {within:.2g}"
            how = " in its weights, not in its metrics" if within == 0 else how
            lines = [f"the result differs{how}{unknown}", *(f"  {difference}" for difference in self.results)]
        if self.origins:
            lines += ["differs in", *(f"  {difference}" for difference in self.origins)]
        elif not self.same:
            lines.append(
                "versions, device, threads, git, data and settings are the same; try trainer.deterministic=true"
            )
        return "\n".join(lines)


def _results(record: RunRecord) -> Iterator[tuple[str, Any]]:
    yield from record.final.items()
    yield from ((f"best {name}", value) for name, value in (record.best or {}).items() if name != "checkpoint")


def _origins(record: RunRecord) -> Iterator[tuple[str, Any]]:
    """What a result depends on; parts that a record lacks are left out."""
    yield from record.versions.items()
    if record.device is not None:
        yield "device", record.device
    known = {name: record.provenance[name] for name in _ORIGIN if record.provenance.get(name) is not None}
    yield from flat(known)
    kept = {key: value for key, value in completed(placeless(record.config)).items() if key not in _NO_RESULT}
    yield from flat(plain(kept))


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Difference]:
    names = {**before, **now}
    return [Difference(n, before.get(n), now.get(n)) for n in names if plain(before.get(n)) != plain(now.get(n))]


def _relative(before: float, now: float) -> float:
    size = max(abs(before), abs(now))
    return abs(before - now) / size if size and math.isfinite(size) else 0.0


def _shown(value: Any) -> str:
    text = "unknown" if value is None else str(value)
    return f"{text[:12]}…" if len(text) in (40, 64) else text  # a commit or a checksum
