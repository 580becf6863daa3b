"""Where a search's trials are kept, and who works on which: a journal file with leases, or any database by its URL."""

from __future__ import annotations

import json
import os
import threading
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from filelock import FileLock, Timeout

from regtorch.app.ground.errors import RunError
from regtorch.app.record.files import JOURNAL

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial
    from sqlalchemy import Connection, Engine

__all__ = ["Store", "open_store", "requeue"]

_AGAIN = "again"  # attribute of a trial that does another one again: the other's number
_BEAT, _GRACE = 20, 90  # seconds between signs of life, and without one until a worker counts as gone
_BUSY = 60  # seconds that SQLite waits for its turn


def requeue(study: Study, trial: FrozenTrial) -> None:
    """Let somebody else do a trial whose worker ended: the same setting, under a new number.

    To be called before the trial is made a failed one, and again by whoever finds it unfinished: a death in between
    neither loses it nor doubles it.
    """
    if all(other.user_attrs.get(_AGAIN) != trial.number for other in study.get_trials(deepcopy=False)):
        study.enqueue_trial(trial.params, user_attrs={_AGAIN: trial.number})


class Store(ABC):
    """An Optuna storage that can tell which running trials have lost their worker.

    Attributes:
        url: what a worker elsewhere gives as search.storage.
        grace: seconds until a worker that was killed is known to be gone.
    """

    url: str
    grace: int

    @property
    @abstractmethod
    def storage(self) -> BaseStorage:
        """Optuna's."""

    @abstractmethod
    def lease(self, trial: FrozenTrial) -> AbstractContextManager[bool]:
        """Hold a trial until the block, or this process, ends; gives whether it could be had."""

    @abstractmethod
    def reclaim(self, study: Study) -> None:
        """Put every running trial that nobody holds back into the queue, each once however many ask."""


class _Lock:
    """Keeps a journal's writers apart. Optuna's own locks outlive a killed process by half a minute.

    Whoever may write first cuts off the record that a writer before left half-written, as after a full disk: the next
    one would become a part of it, and the whole journal could not be read any more.
    """

    def __init__(self, path: Path, journal: Path) -> None:
        self._lock = FileLock(path)
        self._journal = journal

    def acquire(self) -> bool:
        self._lock.acquire()
        if self._journal.exists():
            with self._journal.open("rb+") as file:
                _cut_off_half_a_line(file)
        return True

    def release(self) -> None:
        self._lock.release()


def _cut_off_half_a_line(file: BinaryIO) -> None:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 1))
    if file.read(1) not in (b"", b"\n"):
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)


class _Journal(Store):
    """Leases are locks on files, which the system drops with the process that holds them, however it ends."""

    grace = 0

    def __init__(self, path: Path) -> None:
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        if path.exists():  # Optuna would pass over what is no journal, and write into it
            if not path.is_file():
                raise ValueError("it is not a regular file")
            with path.open(encoding="utf-8") as lines:
                first = lines.readline()
            if first and "op_code" not in json.loads(first):
                raise ValueError("its first line is no record of a journal")
        self.leases = path.with_suffix(".leases")
        self.leases.mkdir(parents=True, exist_ok=True)
        self.url = str(path.absolute())
        lock: Any = _Lock(self.leases / "journal", path)
        self._storage = JournalStorage(JournalFileBackend(str(path), lock_obj=lock))

    @property
    def storage(self) -> BaseStorage:
        return self._storage

    @contextmanager
    def lease(self, trial: FrozenTrial) -> Iterator[bool]:
        try:
            with FileLock(self.leases / str(trial.number), blocking=False):
                yield True
        except Timeout:
            yield False

    def reclaim(self, study: Study) -> None:
        from optuna.trial import TrialState

        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            with self.lease(trial) as free:
                # Under its lease: two that ask at once find it running once.
                if free and self.storage.get_trial(trial._trial_id).state == TrialState.RUNNING:
                    requeue(study, trial)
                    self.storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)


def _lock_at_once(engine: Engine) -> None:
    """Let SQLite, which locks no rows, lock the database before a transaction reads what it will change.

    Without, two workers that read "waiting" at the same moment both take the trial.
    """
    from sqlalchemy import event

    engine.dispose()  # connections that are open already would not hear of it

    def connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the driver is to begin no transactions of its own
        connection.execute(f"PRAGMA busy_timeout = {_BUSY * 1000}")

    def begun(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begun)


class _Database(Store):
    """Leases are signs of life in the database: its workers need share nothing else."""

    def __init__(self, url: str) -> None:
        from optuna.storages import RDBStorage

        self.url = url
        self.grace = _GRACE
        self._storage = RDBStorage(
            url, heartbeat_interval=_BEAT, grace_period=self.grace, heartbeat_stale_trial_callback=requeue
        )
        if self._storage.engine.dialect.name == "sqlite":
            _lock_at_once(self._storage.engine)

    @property
    def storage(self) -> BaseStorage:
        return self._storage

    @contextmanager
    def lease(self, trial: FrozenTrial) -> Iterator[bool]:
        ended = threading.Event()
        self._storage.record_heartbeat(trial._trial_id)

        def beat() -> None:
            while not ended.wait(_BEAT):
                self._storage.record_heartbeat(trial._trial_id)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield True
        finally:
            ended.set()
            thread.join()

    def reclaim(self, study: Study) -> None:
        from optuna.storages import fail_stale_trials

        fail_stale_trials(study)


def open_store(given: str | None, folder: Path) -> Store:
    """The storage of a search."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)  # for as long as it is used
    path = folder / JOURNAL if given is None else Path(given)
    try:
        if given is not None and "://" in given:
            return _Database(given)
        path.parent.mkdir(parents=True, exist_ok=True)
        store = _Journal(path)
        store.storage.get_all_studies()
        return store
    except Exception as error:  # whatever a database's driver raises
        reason = " ".join(str(error).split())[:200]
        raise RunError(
            f"search.storage={given or path} cannot be opened; expected a journal's path or a database's URL such as "
            f"sqlite:///search.db: {reason}"
        ) from error
