"""The trials of a search: how many there are to be, who takes the next one, and what became of each."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from regtorch.app.ground.errors import RunError
from regtorch.app.record.ranking import Rank, ordered
from regtorch.app.search.plan import Plan
from regtorch.app.search.space import distributions
from regtorch.app.search.storage import Store, requeue

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

__all__ = ["LOSS", "REASON", "Book"]

_PLAN, REASON, LOSS = "regtorch", "reason", "loss"  # attributes of the study, of a failed trial, of a complete one
_PATIENCE = 5  # seconds from a study's creation until its plan is there


class Book:
    """A search's trials.

    Every trial that is to be is in the storage from the start, waiting. Taking one is a single step that only one
    worker can win, so that none is done twice, and one whose worker died goes back into the queue.
    """

    def __init__(self, store: Store, study: Study, plan: Plan) -> None:
        self.store = store
        self.study = study
        self.plan = plan

    @staticmethod
    def start(store: Store, name: str, plan: Plan, trials: int) -> Book:
        """Begin a search, or go on with it; afterwards there are `trials` in all, done or to be done."""
        import optuna

        direction = "maximize" if plan.maximize else "minimize"
        wanted = plan.plain()
        try:  # of two that start at once, one creates it
            study = optuna.create_study(study_name=name, storage=store.storage, direction=direction)
            study.set_user_attr(_PLAN, wanted)
        except optuna.exceptions.DuplicatedStudyError:
            study = optuna.load_study(study_name=name, storage=store.storage)
        kept = _plan_of(study)
        if kept is None and (study.get_trials(deepcopy=False) or _is_for_something_else(study, direction)):
            raise _foreign(name, store)
        if kept is None:  # its creator died
            study.set_user_attr(_PLAN, wanted)
        elif differing := [key for key in wanted if kept.get(key) != wanted[key] and key not in ("seed", "folder")]:
            key = differing[0]
            raise RunError(
                f"search.name={name}: there is such a search already, with {key} {kept.get(key)} and not "
                f"{wanted[key]}; go on with the same settings, or begin another one with search.name="
            )
        book = Book(store, study, plan)
        book.reclaim()
        missing = trials - sum(book.counts().values())
        for _ in range(missing):
            study.enqueue_trial({})
        if missing > 0:
            book.drop(trials)
        return book

    @staticmethod
    def join(store: Store, name: str) -> Book:
        """Work on a search that somebody began."""
        import optuna

        try:
            study = optuna.load_study(study_name=name, storage=store.storage)
        except KeyError:
            names = ", ".join(s.study_name for s in store.storage.get_all_studies()) or "none"
            raise RunError(f"search.name={name}: {store.url} has no such search; it has {names}") from None
        kept = _plan_of(study)
        if kept is None:
            raise _foreign(name, store)
        plan = Plan(**kept)
        study.pruner = plan.make_pruner()
        return Book(store, study, plan)

    @contextmanager
    def take(self) -> Iterator[Trial | None]:
        """The next trial, with its parameters chosen and held until the block ends; None where none waits.

        What workers left that are gone waits again first.
        """
        import optuna
        from optuna.trial import TrialState

        self.reclaim()
        for waiting in self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            with self.store.lease(waiting) as free:
                if free and self._won(waiting):
                    self.study.sampler = self.plan.make_sampler(waiting.number)
                    trial = optuna.Trial(self.study, waiting._trial_id)
                    for key, distribution in distributions(self.plan.space).items():
                        trial._suggest(key, distribution)
                    yield trial
                    return
        yield None

    def _won(self, waiting: FrozenTrial) -> bool:
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        try:
            return self.store.storage.set_trial_state_values(waiting._trial_id, TrialState.RUNNING)
        except UpdateFinishedTrialError:
            return False

    def drop(self, trials: int) -> None:
        """Give up waiting trials beyond a total, as two that start at once both add what they find missing.

        Each drops what was added last, so that both leave the same ones, whichever sees more of them.
        """
        from optuna.trial import TrialState

        for surplus in sorted(self.trials(), key=lambda trial: trial.number)[trials:]:
            if surplus.state == TrialState.WAITING:
                with self.store.lease(surplus) as free:
                    if free and self._won(surplus):
                        self.store.storage.set_trial_state_values(surplus._trial_id, TrialState.FAIL)

    def hand_back(self, trial: Trial) -> None:
        """Let somebody else do a trial that is not finished."""
        from optuna.trial import TrialState

        requeue(self.study, self.study.trials[trial.number])
        self.study.tell(trial, state=TrialState.FAIL)

    def fail(self, trial: Trial, reason: str) -> None:
        """A trial is over without a value, and not to be done again."""
        from optuna.trial import TrialState

        trial.set_user_attr(REASON, reason)
        self.study.tell(trial, state=TrialState.FAIL)

    def reclaim(self) -> None:
        """Put trials whose workers are gone back into the queue."""
        self.store.reclaim(self.study)

    def left(self) -> int:
        """How many trials are not done."""
        counts = self.counts()
        return counts.get("waiting", 0) + counts.get("running", 0)

    def counts(self) -> dict[str, int]:
        """How many trials are in each state, by its name in small letters."""
        counts: dict[str, int] = {}
        for trial in self.trials():
            name = trial.state.name.lower()
            counts[name] = counts.get(name, 0) + 1
        return counts

    def trials(self) -> list[FrozenTrial]:
        """All trials but those that lost their worker, or were too many: they failed without a reason."""
        from optuna.trial import TrialState

        every = self.study.get_trials(deepcopy=False)
        return [t for t in every if t.state != TrialState.FAIL or REASON in t.user_attrs]

    def best(self) -> FrozenTrial | None:
        """The best complete trial."""
        return next(iter(self.complete()), None)

    def complete(self) -> list[FrozenTrial]:
        """The complete trials, the best first."""
        return ordered([t for t in self.trials() if t.state.name == "COMPLETE" and t.value is not None], self._rank)

    def _rank(self, trial: FrozenTrial) -> Rank | None:
        if trial.value is None:
            return None
        loss = trial.user_attrs.get(LOSS, math.inf)
        return Rank.of_trial(self.plan.monitor, trial.value, self.plan.maximize, loss, trial.params)


def _plan_of(study: Study) -> dict[str, Any] | None:
    """The plan that a study was begun with; None where nobody gave it one."""
    deadline = time.monotonic() + _PATIENCE
    while (kept := study.user_attrs.get(_PLAN)) is None and time.monotonic() < deadline:
        time.sleep(0.1)
    return kept if isinstance(kept, dict) and {field.name for field in fields(Plan)} == set(kept) else None


def _is_for_something_else(study: Study, direction: str) -> bool:
    return bool(study.user_attrs) or [d.name.lower() for d in study.directions] != [direction]


def _foreign(name: str, store: Store) -> RunError:
    return RunError(f"search.name={name}: that study of {store.url} was not begun by search.py; give another name")
