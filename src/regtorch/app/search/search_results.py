"""Results of a search: printed summary, files, and the command that trains the best setting."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from regtorch.app.ground.atomic import write_text
from regtorch.app.ground.errors import say
from regtorch.app.ground.lines import tell
from regtorch.app.record.command import command
from regtorch.app.record.file_names import TRIALS
from regtorch.app.record.overrides import chosen
from regtorch.app.record.provenance import provenance
from regtorch.app.record.ranking import tie_remark
from regtorch.app.record.run_record import versions
from regtorch.app.record.search import SearchRecord, TrialRecord
from regtorch.app.search.book import LOSS, REASON, Book

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from regtorch.app.search.plan import Plan

__all__ = ["described", "importance", "print_results", "write_results"]

_SHOWN = 5
_ENOUGH = 8  # complete trials before parameters are compared


def described(trial: FrozenTrial, book: Book) -> str:
    """A line about a trial."""
    state = trial.state.name.lower()
    if trial.value is not None and state == "complete":
        result = f"{book.plan.monitor} {trial.value:.4f}"
    elif state == "pruned":
        last = trial.last_step
        result = f"pruned after {last} epoch{'s' * (last != 1)}, {book.plan.monitor} {trial.value or float('nan'):.4f}"
    else:
        result = f"failed: {trial.user_attrs.get(REASON, state)}"
    return f"trial {trial.number}: {' '.join(chosen(trial.params))}: {result}"


def command_of(trial: FrozenTrial, book: Book) -> str:
    """The command that trains a trial's setting."""
    return command("train", [*book.plan.overrides, *chosen(trial.params)])


def importance(book: Book) -> dict[str, float]:
    """Each parameter's share of the variation of the value; empty with too few trials."""
    from optuna.importance import get_param_importances

    complete = [trial for trial in book.trials() if trial.state.name == "COMPLETE"]
    if len(book.plan.space) < 2 or len(complete) < _ENOUGH or len({trial.value for trial in complete}) < 2:
        return {}
    return {key: float(share) for key, share in get_param_importances(book.study).items()}


def write_results(book: Book, folder: Path) -> None:
    """Write search.json and trials.csv."""
    best = book.best()
    record = SearchRecord(
        name=book.study.study_name,
        plan=book.plan.as_json(),
        importance=importance(book),
        trials=[_record(trial, book.plan) for trial in book.trials()],
        command="" if best is None else command_of(best, book),
        versions=versions(),
        provenance=provenance(command("search", sys.argv[1:])),
    )
    record.write(folder)
    names = ["number", "state", "value", "loss", *book.plan.space, "seconds", "reason", "folder"]
    table = io.StringIO()
    writer = csv.DictWriter(table, names, extrasaction="ignore")
    writer.writeheader()
    writer.writerows({**vars(trial), **trial.parameters} for trial in record.trials)
    write_text(folder / TRIALS, table.getvalue())


def _record(trial: FrozenTrial, plan: Plan) -> TrialRecord:
    return TrialRecord(
        number=trial.number,
        state=trial.state.name.lower(),
        value=trial.value if trial.state.name == "COMPLETE" else None,
        loss=trial.user_attrs.get(LOSS),
        parameters=dict(trial.params),
        by_epoch={str(epoch): value for epoch, value in trial.intermediate_values.items()},
        seconds=None if trial.duration is None else round(trial.duration.total_seconds(), 3),
        reason=trial.user_attrs.get(REASON),
        folder=None if trial.state.name == "WAITING" else str(plan.folder_of(trial.number)),
    )


def print_results(book: Book, folder: Path) -> None:
    """Print the best trials, reasons of failures, and the command that trains the best setting."""
    counts = book.counts()
    tell(", ".join(f"{count} {state}" for state, count in sorted(counts.items())))
    for trial in book.complete()[:_SHOWN]:
        tell(f"  {described(trial, book)}")
    reasons = {str(t.user_attrs[REASON]) for t in book.trials() if t.state.name == "FAIL"}
    for reason in sorted(reasons)[:_SHOWN]:
        tell(f"  failed: {reason}")
    for key, share in importance(book).items():
        tell(f"  {key} decides {share:.0%}")
    best = book.best()
    if best is not None:
        if remark := tie_remark(book.tied(), "trial"):
            tell(remark)
        tell(f"train the best setting:\n  {command_of(best, book)}")
    tell(f"written to {folder}")
    if left := book.left():
        say(f"trials left: {left}; the same command continues with them")
