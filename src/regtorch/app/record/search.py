"""The record of a search, stored as search.json."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from regtorch.app.record.file_names import SEARCH
from regtorch.app.record.json_file import node, number, read_json, write_json
from regtorch.app.record.ranking import Rank, ordered, tied

__all__ = ["SearchRecord", "TrialRecord"]

_SCHEMA = 1  # that is written


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """A trial of a search."""

    number: int
    state: str  # "complete", "pruned", "fail", "running" or "waiting"
    value: float | None  # of a complete trial
    loss: float | None = None  # task loss of the best epoch
    parameters: Mapping[str, Any]
    by_epoch: Mapping[str, float | None] = field(default_factory=dict)  # the best value so far
    seconds: float | None = None
    reason: str | None = None  # why it failed
    folder: str | None = None

    @property
    def reached(self) -> float | None:
        """The value of a complete trial, or the best value of an incomplete one; None unless finite."""
        value = self.value
        if value is None and self.by_epoch:
            value = self.by_epoch[max(self.by_epoch, key=int)]
        return value if value is not None and math.isfinite(value) else None

    @staticmethod
    def of(tree: Mapping[str, Any]) -> TrialRecord:
        """Check and convert a trial from JSON; raises the errors of missing keys and wrong types."""
        if not all(isinstance(value, str | int | float | None) for value in tree["parameters"].values()):
            raise ValueError(f"trial {tree['number']}: expected text and numbers, received {tree['parameters']}")
        return TrialRecord(
            number=int(tree["number"]),
            state=str(tree["state"]),
            value=number(tree["value"]),
            loss=number(tree.get("loss")),
            parameters=dict(tree["parameters"]),
            by_epoch={str(int(epoch)): number(value) for epoch, value in (tree["by_epoch"] or {}).items()},
            reason=str(tree["reason"] or ""),
        )


@dataclass(frozen=True, kw_only=True)
class SearchRecord:
    """A search and its trials."""

    name: str
    plan: Mapping[str, Any]  # fields of `search.plan.Plan`
    importance: Mapping[str, float]  # by key, if known
    trials: Sequence[TrialRecord]
    command: str  # trains the best setting; empty without one
    versions: Mapping[str, Any] = field(default_factory=dict)  # as in a run's record
    provenance: Mapping[str, Any] = field(default_factory=dict)  # of the search; each trial's record has its own

    def write(self, folder: Path) -> None:
        """Write search.json."""
        best = None if self.best is None else {**asdict(self.best), "command": self.command}
        counts = Counter(trial.state for trial in self.trials)
        trials = [asdict(trial) for trial in self.trials]
        tree = {"schema": _SCHEMA, "name": self.name, "plan": self.plan, "counts": counts, "best": best}
        tree |= {"versions": self.versions, "provenance": self.provenance}
        write_json(folder / SEARCH, {**tree, "importance": self.importance, "trials": trials})

    @staticmethod
    def read(folder: Path) -> SearchRecord:
        """Read search.json.

        Raises:
            NewerSchema: written by a newer regtorch.
            ValueError: it is not a search.json, or has an impossible schema; the message names the file.
        """
        path = folder / SEARCH
        tree = read_json(path, _SCHEMA)
        try:
            plan = {**tree["plan"], "overrides": [str(text) for text in tree["plan"]["overrides"]]}
            plan |= {"space": dict(plan["space"]), "monitor": str(plan["monitor"]), "maximize": bool(plan["maximize"])}
            importance = {str(key): number(share) for key, share in tree["importance"].items()}
            return SearchRecord(
                name=str(tree.get("name")),
                plan=plan,
                importance={key: share for key, share in importance.items() if share is not None},
                trials=sorted(map(TrialRecord.of, tree["trials"]), key=lambda trial: trial.number),
                command=str(node(tree, "best", "command") or ""),
                versions=dict(tree.get("versions", {})),
                provenance=dict(tree.get("provenance", {})),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: expected the record of a search, with its plan and trials: {error!r}") from None

    @property
    def overrides(self) -> Sequence[str]:
        """The overrides of train.py for every trial."""
        return self.plan["overrides"]

    @property
    def space(self) -> Mapping[str, Any]:
        """A range as text, or a list of choices, by key."""
        return self.plan["space"]

    @property
    def monitor(self) -> str:
        """The metric whose best epoch counts."""
        return self.plan["monitor"]

    @property
    def maximize(self) -> bool:
        """Whether more of the monitor is better."""
        return self.plan["maximize"]

    @property
    def complete(self) -> list[TrialRecord]:
        """The complete trials."""
        return [trial for trial in self.trials if trial.state == "complete" and trial.reached is not None]

    @property
    def best(self) -> TrialRecord | None:
        """The best trial by the monitor."""
        return next(iter(ordered(self.complete, self._rank)), None)

    @property
    def tied(self) -> int:
        """How many other complete trials have the best one's value."""
        best = self.best and self._rank(self.best)
        return 0 if best is None else tied(best, [self._rank(t) for t in self.complete if t is not self.best])

    def _rank(self, trial: TrialRecord) -> Rank | None:
        if trial.reached is None:
            return None
        loss = math.inf if trial.loss is None else trial.loss
        return Rank.of_trial(self.monitor, trial.reached, self.maximize, loss, trial.parameters)
