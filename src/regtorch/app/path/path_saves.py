"""Saves of an unfinished path: the chunks that are done, the one in training, and those that wait."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from regtorch.app.ground.signals import end_now, is_asked
from regtorch.app.path.feed import Feed
from regtorch.app.path.members import Member
from regtorch.app.path.outcome import Divergence, Outcome
from regtorch.app.path.prepared import Prepared
from regtorch.app.path.train import Trainer
from regtorch.app.run.saves.saves import Saves

__all__ = ["PathSaves", "Work"]


class Work:
    """What has been trained, and what is left to train."""

    def __init__(self, chunks: Sequence[Sequence[Member]]) -> None:
        self.done: list[Outcome] = []
        self.waiting = deque(chunks)
        self.chunk: Sequence[Member] = ()
        self.trainer: Trainer | None = None
        self.steps = 0  # of the chunks that are done

    @property
    def outcomes(self) -> list[Outcome]:
        """The members trained so far, in order."""
        running = [] if self.trainer is None else self.trainer.outcomes
        return sorted([*self.done, *running], key=lambda outcome: outcome.member.number)


class PathSaves:
    """Writes and restores a path's saves."""

    def __init__(self, saves: Saves, work: Work) -> None:
        self._saves, self._work = saves, work

    def at_rest(self) -> None:
        """Between two steps: save if it is due or the program was asked to end, then end if so."""
        trainer, asked = self._work.trainer, is_asked()
        if trainer is not None and trainer.alive:
            steps = self._work.steps + trainer.steps
            if asked or self._saves.every.is_due(steps):
                self._saves.write(self._state(trainer), step=steps, epoch=trainer.epochs)
        if asked:
            end_now()

    def restore(self, start: Prepared, feed: Feed) -> None:
        """Go on with the work of the save."""
        state = self._saves.load("done", "waiting", "chunk", "outcomes", "trainer", "steps")
        members = {member.number: member for member in start.members}
        work = self._work
        work.done = [_outcome(saved, members) for saved in state["done"]]
        work.waiting = deque[Sequence[Member]]([[members[number] for number in chunk] for chunk in state["waiting"]])
        work.chunk = [members[number] for number in state["chunk"]]
        work.trainer = Trainer(start, work.chunk, feed)
        work.trainer.outcomes = [_outcome(saved, members) for saved in state["outcomes"]]
        work.trainer.load_state_dict(state["trainer"])
        work.steps = state["steps"]

    def _state(self, trainer: Trainer) -> dict[str, Any]:
        return {
            "done": [_as_plain(outcome) for outcome in self._work.done],
            "waiting": [[member.number for member in chunk] for chunk in self._work.waiting],
            "chunk": [member.number for member in self._work.chunk],
            "outcomes": [_as_plain(outcome) for outcome in trainer.outcomes],
            "trainer": trainer.state_dict(),
            "steps": self._work.steps,
        }


def _as_plain(outcome: Outcome) -> dict[str, Any]:
    return {**asdict(outcome), "member": outcome.member.number}


def _outcome(saved: Mapping[str, Any], members: Mapping[int, Member]) -> Outcome:
    diverged = saved["diverged"]
    known = {**saved, "member": members[saved["member"]], "diverged": diverged and Divergence(**diverged)}
    return Outcome(**known)
