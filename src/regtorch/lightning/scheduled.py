"""The schedules of a callback's rules, and how far each has come."""

from collections.abc import Callable, Sequence
from typing import Any

from regtorch.bound.terms import BoundTerms
from regtorch.penalties import Penalty
from regtorch.steps.hooks import Handle

__all__ = ["Schedule", "Scheduled", "paired"]

Schedule = Callable[[int], float]


def paired(given: Sequence[Any], schedule: Schedule | None) -> tuple[tuple[Any, ...], "Scheduled"]:
    """Rules and their schedules, of which a rule may bring its own: (rule, schedule).

    Args:
        given: rules, and pairs of a rule and its schedule.
        schedule: of every penalty that brings none.

    Raises:
        TypeError: a schedule is no function, or that of a constraint.
        ValueError: there is no penalty that could follow a schedule.
    """
    pairs = [item if isinstance(item, tuple) and len(item) == 2 else (item, None) for item in given]
    for rule, own in (*pairs, (None, schedule)):
        if own is not None and not callable(own):
            raise TypeError(
                f"Regularize: schedule must be a function of the number of steps made, such as "
                f"rt.schedules.warmup(1000), received {own!r}"
            )
        if own is not None and rule is not None and not isinstance(rule, Penalty | BoundTerms):
            raise TypeError(f"Regularize: {rule!r} has no strength that a schedule could move; leave {own!r} out")
    penalties = [isinstance(rule, Penalty | BoundTerms) for rule, _ in pairs]
    if schedule is not None and not any(penalties):
        raise ValueError(f"Regularize: no penalty is there to follow {schedule!r}; leave schedule out")
    own = [(own or schedule) if penalty else None for (_, own), penalty in zip(pairs, penalties, strict=True)]
    return tuple(rule for rule, _ in pairs), Scheduled(own)


class Scheduled:
    """Schedules of rules, by the rule's place, and the steps made under each, by its place and the optimizer's.

    Args:
        schedules: one for each rule; None where its strength stays.
    """

    def __init__(self, schedules: Sequence[Schedule | None]) -> None:
        self.schedules = schedules
        self._handles: dict[tuple[int, int], Handle] = {}
        self._made: dict[tuple[int, int], int] = {}  # loaded, or of a training that has ended
        self._loaded = False

    def follow(self, rule: int, optimizer: int, handle: Handle) -> None:
        """A rule was attached to an optimizer: it goes on where a checkpoint says that it was."""
        if self.schedules[rule] is not None:
            self._handles[rule, optimizer] = handle
            if self._loaded and (made := self._made.get((rule, optimizer))):
                handle.steps = made

    def stop(self) -> None:
        """The rules were taken off; what was made is kept for a checkpoint, and a new training begins at 0."""
        if self._handles:
            self._made = self._steps()
            self._handles, self._loaded = {}, False

    def _steps(self) -> dict[tuple[int, int], int]:
        return {place: handle.steps for place, handle in self._handles.items()} if self._handles else self._made

    def state_dict(self) -> dict[str, Any]:
        """The steps made, for a checkpoint; nothing where no strength moves."""
        steps = self._steps()
        return {"steps": [[*place, made] for place, made in steps.items()]} if steps else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint, now or when the rules are attached.

        Raises:
            ValueError: it is of a callback with other rules or schedules.
        """
        made = {(rule, optimizer): steps for rule, optimizer, steps in state.get("steps", [])}
        there = {rule for rule, schedule in enumerate(self.schedules) if schedule is not None}
        if {rule for rule, _ in made} - there:
            raise ValueError(
                "Regularize: the checkpoint counts steps of a schedule that is not there; give the callback the rules "
                f"and schedules that it was saved with (it has them for the rules {sorted(there)}, counted from 0)"
            )
        self._made, self._loaded = made, True
        for (rule, optimizer), handle in list(self._handles.items()):
            self.follow(rule, optimizer, handle)
