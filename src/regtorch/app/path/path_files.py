"""The files of a path: path.csv and summary.json."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from regtorch.app.ground.atomic import write_text
from regtorch.app.path.outcome import Outcome
from regtorch.app.path.seed_groups import best_epoch, best_of, best_setting, command_of, settings_of
from regtorch.app.record.axes import AXES
from regtorch.app.record.file_names import PATH
from regtorch.app.record.run_record import MemberRecord, PathRecord, RunRecord

__all__ = ["record_of", "write_csv"]


def write_csv(folder: Path, outcomes: Sequence[Outcome]) -> Path:
    """Write a row per member and epoch; axes that the path does not vary are left empty."""
    metrics = dict.fromkeys(name for outcome in outcomes for epoch in outcome.epochs for name in epoch)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    names = sorted(name for name in metrics if name != "epoch")
    writer.writerow(["member", *AXES, "epoch", *names])
    for outcome in outcomes:
        values = [outcome.member.values.get(axis, "") for axis in AXES]
        for epoch in outcome.epochs:
            writer.writerow([outcome.member.number, *values, epoch["epoch"], *(epoch.get(name, "") for name in names)])
    path = folder / PATH
    write_text(path, text.getvalue())
    return path


def record_of(outcomes: Sequence[Outcome], score: str, overrides: Sequence[str]) -> RunRecord:
    """The record of the members, with the metrics of the best member of the setting with the best mean over seeds."""
    setting = best_setting(settings_of(outcomes, score))
    best = None if setting is None else best_of(setting, score)
    chosen = None
    if best is not None:
        own = {"member": best.member.number, **best.member.values}
        chosen = {**own, "command": command_of(best.member, overrides)}
    path = PathRecord(
        best=chosen,
        diverged=sum(outcome.diverged is not None for outcome in outcomes),
        members=[_member(outcome, score) for outcome in outcomes],
    )
    return RunRecord(
        final={} if best is None else best.final, best=None if best is None else best_epoch(best, score), path=path
    )


def _member(outcome: Outcome, score: str) -> MemberRecord:
    return MemberRecord(
        member=outcome.member.number,
        values=outcome.member.values,
        overrides=outcome.member.overrides,
        final=outcome.final,
        best=best_epoch(outcome, score),
        weights=outcome.weights,
        norm=outcome.norm,
        zeros=outcome.zeros,
        diverged=None if outcome.diverged is None else asdict(outcome.diverged),
    )
