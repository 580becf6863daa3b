"""The trials of a search: queueing, taking and finishing them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regtorch.app.ground.errors import RunError
from regtorch.app.record.ranking import Rank, ordered, tied
from regtorch.app.search.plan import Plan
from regtorch.app.search.space import distributions
from regtorch.app.search.storage import Store, requeue

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

__all__ = ["LOSS", "REASON", "Book"]

_FREE = ("seed", "folder", "knows")  # parts of a plan in which a start may differ from the first one
_PLAN, REASON, LOSS = "regtorch", "reason", "loss"  # attributes of the study, of failed trials, of complete trials
_PLAN_TIMEOUT = 5  # seconds to wait for the plan of a new study


class Book:
    """A search's trials.

    All trials are in the storage from the start, waiting. Taking one is a single step that only one worker can win, so
    no trial is run twice; a trial whose worker died returns to the queue.
    """

    def __init__(self, store: Store, study: Study, plan: Plan) -> None:
        self.store = store
        self.study = study
        self.plan = plan

    @staticmethod
    def start(store: Store, name: str, plan: Plan, trials: int) -> Book:
        """Begin or continue a search; afterwards it has `trials` trials in total."""
        import optuna

        direction = "maximize" if plan.maximize else "minimize"
        wanted = plan.as_json()
        names = [known.study_name for known in store.storage.get_all_studies()]
        if name not in names and names and store.home is not None:
            raise RunError(
                f"search.name={name}: {store.home} has the search {' and '.join(names)}; continue it with "
                f"search.name={names[0]}, or name another folder with hydra.run.dir="
            )
        if name not in names:
            with suppress(optuna.exceptions.DuplicatedStudyError):  # of two simultaneous starts, one creates it
                created = optuna.create_study(study_name=name, storage=store.storage, direction=direction)
                created.set_user_attr(_PLAN, wanted)
        study = optuna.load_study(study_name=name, storage=store.storage)
        kept = _plan_of(study)
        if kept is None and (study.get_trials(deepcopy=False) or _is_foreign(study, direction)):
            raise _foreign(name, store)
        if kept is None:  # its creator died
            study.set_user_attr(_PLAN, wanted)
        elif differing := [key for key in wanted if kept.get(key) != wanted[key] and key not in _FREE]:
            key = differing[0]
            is_setting = key in ("monitor", "sampler", "pruner")
            continued = f"search.{key}={kept.get(key)}" if is_setting else "the same settings"
            raise RunError(
                f"search.name={name}: the existing search has {key} {kept.get(key)}, not {wanted[key]}; "
                f"continue with {continued}, or start another one with search.name="
            )
        if kept is not None:
            plan = replace(plan.as_begun(kept.get("knows", ())), folder=_folder_of(kept, store, plan.folder))
            if kept["folder"] != plan.folder:
                study.set_user_attr(_PLAN, {**kept, "folder": plan.folder})
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
        """Join an existing search."""
        import optuna

        try:
            study = optuna.load_study(study_name=name, storage=store.storage)
        except KeyError:
            names = ", ".join(s.study_name for s in store.storage.get_all_studies()) or "none"
            raise RunError(f"search.name={name}: expected a search of {store.url}, which has {names}") from None
        kept = _plan_of(study)
        if kept is None:
            raise _foreign(name, store)
        plan = Plan(**{**kept, "folder": _folder_of(kept, store, kept["folder"])}).as_begun(kept.get("knows", ()))
        study.pruner = plan.make_pruner()
        return Book(store, study, plan)

    @contextmanager
    def take(self) -> Iterator[Trial | None]:
        """The next trial with its parameters, held until the block ends; None if none is waiting.

        Trials of dead workers are queued again first.
        """
        import optuna
        from optuna.trial import TrialState

        self.reclaim()
        for waiting in self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            with self.store.lease(waiting) as free:
                if free and self._claim(waiting):
                    self.study.sampler = self.plan.make_sampler(waiting.number)
                    trial = optuna.Trial(self.study, waiting._trial_id)
                    for key, distribution in distributions(self.plan.space).items():
                        trial._suggest(key, distribution)
                    yield trial
                    return
        yield None

    def _claim(self, waiting: FrozenTrial) -> bool:
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        try:
            return self.store.storage.set_trial_state_values(waiting._trial_id, TrialState.RUNNING)
        except UpdateFinishedTrialError:
            return False

    def drop(self, trials: int) -> None:
        """Cancel surplus waiting trials: two simultaneous starts may both have queued the missing ones.

        Both cancel the newest trials, so they keep the same ones.
        """
        from optuna.trial import TrialState

        for surplus in sorted(self.trials(), key=lambda trial: trial.number)[trials:]:
            if surplus.state == TrialState.WAITING:
                with self.store.lease(surplus) as free:
                    if free and self._claim(surplus):
                        self.store.storage.set_trial_state_values(surplus._trial_id, TrialState.FAIL)

    def hand_back(self, trial: Trial) -> None:
        """Return an unfinished trial to the queue."""
        from optuna.trial import TrialState

        requeue(self.study, self.study.trials[trial.number])
        self.study.tell(trial, state=TrialState.FAIL)

    def fail(self, trial: Trial, reason: str) -> None:
        """Mark a trial as failed, not to be repeated."""
        from optuna.trial import TrialState

        trial.set_user_attr(REASON, reason)
        self.study.tell(trial, state=TrialState.FAIL)

    def reclaim(self) -> None:
        """Return trials of dead workers to the queue."""
        self.store.reclaim(self.study)

    def left(self) -> int:
        """The number of unfinished trials."""
        counts = self.counts()
        return counts.get("waiting", 0) + counts.get("running", 0)

    def counts(self) -> dict[str, int]:
        """The number of trials by lower-case state."""
        counts: dict[str, int] = {}
        for trial in self.trials():
            name = trial.state.name.lower()
            counts[name] = counts.get(name, 0) + 1
        return counts

    def trials(self) -> list[FrozenTrial]:
        """All trials, except surplus ones and those that were queued again: they failed without a reason."""
        from optuna.trial import TrialState

        every = self.study.get_trials(deepcopy=False)
        return [t for t in every if t.state != TrialState.FAIL or REASON in t.user_attrs]

    def best(self) -> FrozenTrial | None:
        return next(iter(self.complete()), None)

    def complete(self) -> list[FrozenTrial]:
        """The complete trials, best first."""
        return ordered([t for t in self.trials() if t.state.name == "COMPLETE" and t.value is not None], self._rank)

    def tied(self) -> int:
        """How many other complete trials have the best one's value."""
        first, *others = [self._rank(trial) for trial in self.complete()] or [None]
        return 0 if first is None else tied(first, others)

    def _rank(self, trial: FrozenTrial) -> Rank | None:
        if trial.value is None:
            return None
        loss = trial.user_attrs.get(LOSS, math.inf)
        return Rank.of_trial(self.plan.monitor, trial.value, self.plan.maximize, loss, trial.params)


def _plan_of(study: Study) -> dict[str, Any] | None:
    """The plan of a study, or None."""
    deadline = time.monotonic() + _PLAN_TIMEOUT
    while (kept := study.user_attrs.get(_PLAN)) is None and time.monotonic() < deadline:
        time.sleep(0.1)
    return kept if isinstance(kept, dict) and {field.name for field in fields(Plan)} == {"knows", *kept} else None


def _folder_of(kept: Mapping[str, Any], store: Store, now: str) -> str:
    """Where a search's trials lie: beside its own journal, or where it began, or `now` if that is no longer there."""
    if store.home is not None:
        return str(store.home)
    return kept["folder"] if Path(kept["folder"]).is_dir() else now


def _is_foreign(study: Study, direction: str) -> bool:
    return bool(study.user_attrs) or [d.name.lower() for d in study.directions] != [direction]


def _foreign(name: str, store: Store) -> RunError:
    return RunError(f"search.name={name}: a study of {store.url} that regtorch did not create; choose another name")
