"""Examples of the doctor's causes for docs/causes.md: what it says of each, and a picture of what the fault does.

`python tests/causes_pictures.py` draws all, with names of causes some of them. It takes minutes: nets are trained.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Mapping

import torch

import regtorch as rt
from causes_page import EXAMPLES, NOTES
from concepts.sheet import panels
from places import ROOT
from programs.advice import applied, is_mechanical
from programs.examples import Example, examples
from programs.program import Program
from programs.training import evaluated, train
from recorded_histories import FILE
from regtorch.doctor.causes import CAUSES
from regtorch.doctor.remedy import Remedy
from regtorch.plot.curves import history_panels
from regtorch.plot.panel import Axis, Panel, Series, look
from small_trainings import classes_of
from watched_examples import WATCHED

PICTURES = ROOT / "docs" / "pictures" / "causes"
_EVERY = 15  # steps between two points
_SCORES = {"classes": "held-out accuracy", "order": "held-out AUC", "numbers": "held-out correlation"}

Told = tuple[rt.Finding, str, str]
"""A finding, the example's words, and its picture."""


def told(cause: str) -> Told:
    """An example of a cause, diagnosed and drawn."""
    if cause in WATCHED:
        finding, words, panel = WATCHED[cause]()
        return finding, words, panels(cause, [panel])
    made = examples()
    return _of_a_program(cause, made[cause]) if cause in made else _of_a_history(cause)


# Nets in training


def _of_a_program(cause: str, example: Example) -> Told:
    words, program, healthy = example
    made = program.set_up()
    owned = {id(p) for group in made.optimizer.param_groups for p in group["params"]}
    optimizer = made.optimizer if any(id(p) in owned for p in made.model.parameters()) else None
    found = rt.diagnose(made.model, made.loss, made.batches, optimizer, made.rules)
    finding = next(f for f in found if f.cause == cause)
    lines: dict[str, Mapping[int, float]] = {}
    if program is not healthy:
        lines["without the fault"] = curve(healthy)
    lines["as it is"] = curve(program)
    if is_mechanical(finding.remedy):
        lines["with the advice"] = curve(program, finding.remedy)
    return finding, f"{words} ({_base_of(healthy)})", panels(cause, [_panel(lines, healthy.score)])


def _base_of(program: Program) -> str:
    from programs.healthy import BASES

    return next(name for name, base in BASES.items() if base is program)


def curve(program: Program, remedy: Remedy | None = None) -> dict[int, float]:
    """The held-out score by step; a training that breaks off stays where it was."""
    made, data = program.set_up(), program.arrange(program.data())
    if remedy is not None:
        made, data = applied(made, data, remedy)
    points: dict[int, float] = {}

    def look_at(step: int) -> None:
        if step % _EVERY == 0:
            try:
                points[step] = evaluated(made.model, data)[0]
            except (RuntimeError, ValueError, IndexError):  # the fault
                points[step] = 0.0

    train(made, data, look_at)
    return points


def _panel(lines: Mapping[str, Mapping[int, float]], score: str) -> Panel:
    styles = {"without the fault": (look(0), "--"), "as it is": (look(1), "-"), "with the advice": (look(2), "-")}
    series = [
        Series(
            list(points),
            list(points.values()),
            name if len(points) > 1 else f"{name}: no step is possible",
            *styles[name],
        )
        for name, points in lines.items()
    ]
    return Panel("", "", Axis("step", integers=True), Axis(_SCORES[score]), series)


# Curves


def _of_a_history(cause: str) -> Told:
    for name, series in json.loads(FILE.read_text()).items():
        reading = rt.read_history(series, classes=classes_of(name))
        found = [finding for finding in reading if finding.cause == cause]
        if found and (reading[0].cause == cause or found[0].severity == "info"):
            return found[0], "a recorded training", panels(cause, list(history_panels(reading))[:1])
    raise LookupError(cause)


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    PICTURES.mkdir(exist_ok=True)
    texts = json.loads(EXAMPLES.read_text()) if EXAMPLES.exists() else {}
    for cause in names or [cause for cause in CAUSES if cause not in NOTES]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of losses that broadcast, which are examples
            finding, words, picture = told(cause)
        (PICTURES / f"{cause}.svg").write_text(picture, encoding="utf-8")
        texts[cause] = {"example": words, "severity": finding.severity, "where": finding.where}
        texts[cause] |= {"why": finding.why, "change": finding.change}
        print(cause, len(picture), flush=True)
        kept = {known: texts[known] for known in CAUSES if known in texts}
        EXAMPLES.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
