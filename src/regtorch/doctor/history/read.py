"""`rt.read_history`: the curves of a training, and what they show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from typing import Any

from regtorch.checks import integer
from regtorch.counted import counted
from regtorch.doctor.causes import title_of
from regtorch.doctor.finding import Finding, Findings, in_order
from regtorch.doctor.history import chance, generalization, penalty, progress, validation
from regtorch.doctor.history.curves import Curves
from regtorch.doctor.history.history import History
from regtorch.doctor.history.robust import LEAST
from regtorch.doctor.history.sources import histories_of

__all__ = ["Reading", "read_history"]


class Reading(Findings):
    """The findings of a history, most important first; `print` and a notebook show them with their evidence.

    Attributes:
        history: the series that were read.
    """

    def __init__(self, findings: Iterable[Finding], history: History) -> None:
        super().__init__(findings)
        self.history = history

    def to_dict(self) -> dict[str, Any]:
        """The series and the findings as plain values, for JSON."""
        history = asdict(self.history)
        return {"history": history, "findings": [_plain(finding) for finding in self]}

    @property
    def _heading(self) -> str:
        """The first and last value of each curve."""
        return _described(self.history)

    @property
    def _if_none(self) -> str:
        return "Healthy: the curves show nothing to change."


def read_history(
    source: Any, *, run: int | None = None, classes: int | None = None, val_samples: int | None = None
) -> Reading:
    """Read the curves of a training, and find what they show: overfitting, chance, a plateau, noise, divergence, ….

    Args:
        source: one of
            a folder of a run of `regtorch train`, or its metrics.csv;
            a CSV file of Lightning's CSVLogger, of Keras's CSVLogger, or with such columns;
            a TensorBoard event file, or a folder of them (needs tensorboard);
            Keras's History, its `history` dict, or JSON of that;
            the progress that Keras prints, as a text file or as a string of several lines;
            Hugging Face's trainer_state.json, the dicts that it prints, a Trainer or its `state.log_history`;
            a table as text, in Markdown or as fastai and pandas print it;
            a mapping of lists, a list of mappings, or a DataFrame.
        run: which training to read, from 1, if the source holds several.
        classes: the number of classes; else told from the curves, where they start at chance.
        val_samples: the number of validation samples; else told from the accuracies, where they are few.

    Returns:
        The findings, most important first; a list with the series as `history`. Each has the epoch at which it begins
        as `numbers["epoch"]`. Findings about less than four epochs compare levels alone.

    Raises:
        TypeError: the source is of another kind, or an argument has the wrong type.
        ValueError: the source cannot be read, holds no loss or accuracy, lists of different lengths, epochs that go
            back, values that are no numbers, or several trainings without `run`; a pickle is refused.
        FileNotFoundError: there is no such file.
        ModuleNotFoundError: tensorboard is not installed, for event files.

    Example:
        >>> import regtorch as rt
        >>> curves = {"loss": [1.2, 0.7, 0.4, 0.2, 0.1, 0.05], "val_loss": [1.1, 0.8, 0.7, 0.8, 1.0, 1.2]}
        >>> found = rt.read_history(curves)
        >>> found[0].cause, found[0].numbers["epoch"]
        ('overfitting', 3.0)
    """
    if run is not None:
        run = integer("read_history", "run", run)
    if classes is not None:
        classes = integer("read_history", "classes", classes, low=2)
    if val_samples is not None:
        val_samples = integer("read_history", "val_samples", val_samples)
    history = _chosen(histories_of(source), run)
    if classes is not None:
        history = replace(history, classes=classes)
    if val_samples is not None:
        history = replace(history, val_samples=val_samples)
    return Reading(in_order(_findings(Curves(history))), history)


def _chosen(found: list[History], run: int | None) -> History:
    if run is None and len(found) > 1:
        each = ", ".join(counted(len(history.epochs), history.unit) for history in found[:5])
        raise ValueError(
            f"{found[0].source}: holds {len(found)} trainings, of {each}{', …' if len(found) > 5 else ''}; choose one "
            f"by run=1 to run={len(found)}"
        )
    if run is not None and run > len(found):
        raise ValueError(
            f"read_history: run must be at most {len(found)}, the trainings in {found[0].source}, received {run}"
        )
    return found[(run or 1) - 1]


def _findings(curves: Curves) -> Iterator[Finding]:
    yield from _short(curves)
    broken = list(chance.find(curves))
    yield from broken
    if not any(finding.cause in ("diverges", "constant_loss") for finding in broken):
        yield from penalty.find(curves)
    if not broken:
        for part in (generalization, validation, progress):
            yield from part.find(curves)


def _short(curves: Curves) -> Iterator[Finding]:
    history = curves.history
    count = len(history.epochs)
    missing = [] if history.val else ["validation"]
    missing += [] if history.train else ["training"]
    if count >= LEAST and not missing:
        return
    parts = [f"there are no curves of {name}" for name in missing]
    parts += [f"there {'is' if count == 1 else 'are'} {counted(count, history.unit)}"] if count < LEAST else []
    why = " and ".join(parts)
    yield Finding(
        "history_incomplete",
        "history",
        "info",
        {"epochs": count},
        why=f"{why[:1].upper()}{why[1:]}: little can be told from them.",
        change="Log training and validation in every epoch, and read at least four.",
    )


def _plain(finding: Finding) -> dict[str, Any]:
    remedy = "" if finding.remedy is None else finding.remedy.python()
    return {
        "cause": finding.cause,
        "title": title_of(finding.cause),
        "where": finding.where,
        "severity": finding.severity,
        "numbers": dict(finding.numbers),
        "why": finding.why,
        "change": finding.change,
        "remedy": remedy,
    }


def _described(history: History) -> str:
    """The first and last value of each curve."""
    parts = []
    for stage, series in (("", history.train), ("val ", history.val)):
        for name, points in series.items():
            if name in ("loss", "task_loss", "penalty", "accuracy") and points:
                values = list(points.values())
                parts.append(f"{stage}{name.replace('_', ' ')} {values[0]:.4g} to {values[-1]:.4g}")
    return f"{counted(len(history.epochs), history.unit)}: {', '.join(parts)}"
