"""What the doctor names in every program, in how many training steps and seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter, process_time

import regtorch as rt
from programs.data import is_here
from programs.faulty import FAULTY
from programs.healthy import HEALTHY
from programs.program import Program, SetUp

__all__ = ["Look", "look_at", "looks", "report", "step_of"]

_TIMED = 10


@dataclass(frozen=True)
class Look:
    """The doctor's findings in one program."""

    name: str
    causes: Sequence[str]  # that name the fault; empty for a healthy program
    found: Sequence[rt.Finding]
    seconds: float
    steps: float  # that many training steps take as long, in processor time; 0 if not measured

    @property
    def is_first(self) -> bool:
        return bool(self.found) and self.found[0].cause in self.causes

    @property
    def is_named(self) -> bool:
        return any(finding.cause in self.causes for finding in self.found)

    def has(self, severity: str) -> bool:
        return any(finding.severity == severity for finding in self.found)


def look_at(name: str, program: Program, causes: Sequence[str] = (), seed: int = 0, timed: bool = False) -> Look:
    """Diagnose a program; `timed` also trains it for some steps first."""
    step = step_of(program.set_up(seed)) if timed else 0.0
    made = program.set_up(seed)
    start, before = perf_counter(), process_time()
    found = rt.diagnose(made.model, made.loss, made.batches, made.optimizer, made.rules)
    return Look(name, causes, found, perf_counter() - start, (process_time() - before) / step if step else 0.0)


def step_of(made: SetUp) -> float:
    """Processor seconds of a training step; 0 if the program cannot train."""
    taken: list[float] = []
    for number in range(_TIMED):
        x, y = made.batches[number % len(made.batches)]
        start = process_time()
        try:
            made.optimizer.zero_grad()
            made.loss(made.model(x), y).backward()
            made.optimizer.step()
        except (RuntimeError, ValueError, IndexError):
            return 0.0
        taken.append(process_time() - start)
    return median(taken)


def looks(seed: int = 0, part: str = "", timed: bool = True) -> tuple[list[Look], list[Look]]:
    """All faulty and all healthy programs whose data are there and whose names hold `part`."""
    ill = [
        look_at(name, program, causes, seed, timed)
        for name, (program, causes) in FAULTY.items()
        if part in name and is_here(program.needs)
    ]
    well = [
        look_at(name, program, (), seed, timed)
        for name, program in HEALTHY.items()
        if part in name and is_here(program.needs)
    ]
    return ill, well


def report(ill: Sequence[Look], well: Sequence[Look]) -> str:
    """The misses, the false alarms and the table."""
    lines = [f"{look.name}: {', '.join(look.causes)}; found {_said(look)}" for look in ill if not look.is_first]
    lines += [
        f"{look.name}: healthy; found {_said(look)}" for look in well if look.has("severe") or look.has("warning")
    ]
    named = sum(look.is_first for look in ill), sum(look.is_named for look in ill)
    steps = [look.steps for look in (*ill, *well) if look.steps]
    seconds = median([look.seconds for look in (*ill, *well)] or [0.0])
    return "\n".join(
        [
            *lines,
            "",
            "| named first | anywhere | severe on healthy | warnings on healthy | steps, median | seconds, median |",
            "|---|---|---|---|---|---|",
            f"| {named[0]} of {len(ill)} | {named[1]} | {sum(look.has('severe') for look in well)} of {len(well)} "
            f"| {sum(look.has('warning') for look in well)} | {median(steps or [0.0]):.0f} | {seconds:.2f} |",
        ]
    )


def _said(look: Look) -> str:
    return ", ".join(f"{finding.cause} ({finding.severity})" for finding in look.found) or "nothing"
