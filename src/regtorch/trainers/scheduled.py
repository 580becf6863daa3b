"""The schedules of a callback's rules, and the steps that each has taken."""

from collections.abc import Callable, Sequence
from typing import Any

from regtorch.bound.terms import BoundTerms
from regtorch.penalties import Penalty
from regtorch.steps.hooks import Handle

__all__ = ["Schedule", "Scheduled", "paired"]

Schedule = Callable[[int], float]


def paired(given: Sequence[Any], schedule: Schedule | None, who: str) -> tuple[tuple[Any, ...], "Scheduled"]:
    """Split rules, some of them pairs (rule, schedule), into rules and schedules; `who` is the callback, for errors.

    Raises:
        TypeError: a schedule is not a function, or belongs to a constraint.
        ValueError: no penalty can follow the schedule.
    """
    pairs = [tuple(item) if isinstance(item, tuple | list) and len(item) == 2 else (item, None) for item in given]
    for rule, own in (*pairs, (None, schedule)):
        if own is not None and not callable(own):
            raise TypeError(
                f"{who}: schedule must be a function of the number of steps taken, such as "
                f"rt.schedules.warmup(1000), received {own!r}"
            )
        if own is not None and rule is not None and not isinstance(rule, Penalty | BoundTerms):
            raise TypeError(f"{who}: {rule!r} has no strength to schedule; leave {own!r} out")
    penalties = [isinstance(rule, Penalty | BoundTerms) for rule, _ in pairs]
    if schedule is not None and not any(penalties):
        raise ValueError(f"{who}: there is no penalty to follow {schedule!r}; leave schedule out")
    own = [(own or schedule) if penalty else None for (_, own), penalty in zip(pairs, penalties, strict=True)]
    return tuple(rule for rule, _ in pairs), Scheduled(own)


class Scheduled:
    """Schedules by rule index, and steps taken by rule index and optimizer index.

    Args:
        schedules: one for each rule; None for a constant strength.
    """

    def __init__(self, schedules: Sequence[Schedule | None]) -> None:
        self.schedules = schedules
        self._handles: dict[tuple[int, int], Handle] = {}
        self._bound: dict[int, BoundTerms] = {}  # by rule index
        self._scales: dict[int, float] = {}  # loaded: those of the last step
        self._steps_taken: dict[tuple[int, int], int] = {}  # loaded, or of a training that has ended
        self._loaded = False

    def follow(self, rule: int, optimizer: int, handle: Handle, bound: Any) -> None:
        """Track an attached rule; after a resume go on at the checkpoint's step, with a new optimizer at the last."""
        if self.schedules[rule] is not None:
            before = self._handles.get((rule, optimizer), handle)
            if before is not handle:
                handle.steps = before.steps
            self._handles[rule, optimizer], self._bound[rule] = handle, bound
            if self._loaded and (taken := self._steps_taken.get((rule, optimizer))):
                handle.steps = taken
                bound.scale = self._scales.get(rule, bound.scale)  # until the next step, as without the interruption

    def resume(self, steps: int) -> None:
        """Continue all schedules after so many steps."""
        for handle in self._handles.values():
            handle.steps = steps

    def stop(self) -> None:
        """Keep the step counts for a checkpoint after the rules are detached; a new fit begins at 0."""
        if self._handles:
            self._steps_taken, self._scales = self._steps(), self._now()
            self._handles, self._bound, self._loaded = {}, {}, False

    def _steps(self) -> dict[tuple[int, int], int]:
        return {key: handle.steps for key, handle in self._handles.items()} if self._handles else self._steps_taken

    def _now(self) -> dict[int, float]:
        return {rule: bound.scale for rule, bound in self._bound.items()} if self._bound else self._scales

    def state_dict(self) -> dict[str, Any]:
        """The steps taken, for a checkpoint; empty without schedules."""
        steps = self._steps()
        counted = [[*place, taken] for place, taken in steps.items()]
        return {"steps": counted, "scales": [list(pair) for pair in self._now().items()]} if steps else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint, now or when the rules are attached.

        Raises:
            ValueError: the checkpoint is of a callback with other rules or schedules.
        """
        taken = {(rule, optimizer): steps for rule, optimizer, steps in state.get("steps", [])}
        scheduled = {rule for rule, schedule in enumerate(self.schedules) if schedule is not None}
        if {rule for rule, _ in taken} - scheduled:
            raise ValueError(
                "Regularize: the checkpoint counts steps of a schedule that is missing; give the callback the rules "
                f"and schedules that it was saved with (it has them for the rules {sorted(scheduled)}, counted from 0)"
            )
        self._steps_taken, self._loaded = taken, True
        self._scales = dict(state.get("scales", []))
        for (rule, optimizer), handle in list(self._handles.items()):
            self.follow(rule, optimizer, handle, self._bound[rule])
