"""Read the folder of a search: its trials, and an entry per complete one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regtorch.app.record.files import SEARCH, SUMMARY
from regtorch.app.record.json_file import node, number, read_json
from regtorch.app.record.overrides import chosen, relevant
from regtorch.app.record.ranking import Rank, ordered
from regtorch.app.record.results import read_run
from regtorch.app.report.entry import Entry, Lost, entry_of

__all__ = ["Search", "Trial", "entries_of", "lost_of", "read_search"]


@dataclass(frozen=True)
class Trial:
    """A trial of a search."""

    number: int
    state: str  # "complete", "pruned", "fail", "running" or "waiting"
    value: float | None  # of the best epoch so far
    parameters: Mapping[str, Any]
    reason: str  # why it failed
    loss: float = math.inf  # task loss of the best epoch; infinite if unknown


@dataclass(frozen=True)
class Search:
    """A search and its results."""

    name: str  # its place in the report's folder
    folder: Path
    overrides: Sequence[str]  # of train.py, for every trial
    space: Mapping[str, Any]  # by key: a range as text, or a list of choices
    monitor: str
    maximize: bool
    trials: Sequence[Trial]
    importance: Mapping[str, float]  # by key, if known
    command: str  # trains the best setting; empty without one

    @property
    def complete(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.state == "complete" and trial.value is not None]

    @property
    def best(self) -> Trial | None:
        """The best trial by the search's monitor."""
        return next(iter(ordered(self.complete, self._rank)), None)

    def _rank(self, trial: Trial) -> Rank | None:
        return (
            None
            if trial.value is None
            else Rank.of_trial(self.monitor, trial.value, self.maximize, trial.loss, trial.parameters)
        )


def read_search(folder: Path, name: str) -> Search:
    """Read search.json.

    Raises:
        ValueError: it is not a search.json; the message names the file.
    """
    path = folder / SEARCH
    record = read_json(path)
    try:
        plan = record["plan"]
        importance = {str(key): number(share) for key, share in record["importance"].items()}
        return Search(
            name=name,
            folder=folder,
            overrides=[str(text) for text in plan["overrides"]],
            space=dict(plan["space"]),
            monitor=str(plan["monitor"]),
            maximize=bool(plan["maximize"]),
            trials=sorted(map(_trial, record["trials"]), key=lambda trial: trial.number),
            importance={key: share for key, share in importance.items() if share is not None},
            command=str(node(record, "best", "command") or ""),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: expected a search.json as search.py writes it, received something else ({error!r})"
        ) from None


def _trial(row: Mapping[str, Any]) -> Trial:
    value = number(row["value"])
    if value is None and row["by_epoch"]:
        value = number(row["by_epoch"][max(row["by_epoch"], key=int)])
    if not all(isinstance(value, str | int | float | None) for value in row["parameters"].values()):
        raise ValueError(f"trial {row['number']}: expected text and numbers, received {row['parameters']}")
    finite = value if value is not None and math.isfinite(value) else None
    loss = number(row.get("loss"))
    return Trial(
        number=int(row["number"]),
        state=str(row["state"]),
        value=finite,
        parameters=dict(row["parameters"]),
        reason=str(row["reason"] or ""),
        loss=math.inf if loss is None else loss,
    )


def entries_of(search: Search) -> Iterator[Entry | ValueError]:
    """The complete trials whose folders exist; an error for each that cannot be read."""
    for trial in search.complete:
        folder = search.folder / "trials" / str(trial.number)
        try:
            run = read_run(folder, [*search.overrides, *chosen(trial.parameters)])
            if run is not None:
                ended = (folder / SUMMARY).stat().st_mtime
                yield entry_of(f"{search.name}, trial {trial.number}", run, ended, searched=True)
        except (OSError, ValueError) as error:
            yield ValueError(str(error))


def lost_of(search: Search) -> list[Lost]:
    """The failed trials."""
    return [
        Lost(
            f"{search.name}, trial {trial.number}",
            " ".join(relevant([*search.overrides, *chosen(trial.parameters)])),
            trial.reason or "failed without a reason",
        )
        for trial in search.trials
        if trial.state == "fail"
    ]
