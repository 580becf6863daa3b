"""Storages of trials with leases of running ones: a journal file, or any database by its URL."""

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
from regtorch.app.record.file_names import JOURNAL

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial
    from sqlalchemy import Connection, Engine

__all__ = ["Store", "interrupted", "open_store", "requeue"]

_AGAIN = "again"  # attribute of a repeated trial: the number of the original
_BEAT, _GRACE = 20, 90  # seconds between heartbeats, and without one until a worker counts as dead
_LOCK_TIMEOUT = 60  # seconds that SQLite waits for a lock


def requeue(study: Study, trial: FrozenTrial) -> None:
    """Queue the setting of a dead worker's trial again, under a new number.

    Call it before marking the trial as failed, and again when it is found unfinished: if the caller dies in between,
    the trial is neither lost nor duplicated.
    """
    if all(known.user_attrs.get(_AGAIN) != trial.number for known in study.get_trials(deepcopy=False)):
        study.enqueue_trial(trial.params, user_attrs={_AGAIN: trial.number})


def interrupted(trial: Trial) -> int | None:
    """The number of the trial that this one repeats, or None."""
    return trial.user_attrs.get(_AGAIN)


class Store(ABC):
    """An Optuna storage that detects running trials of dead workers.

    Attributes:
        url: the value of search.storage for workers elsewhere.
        grace: seconds until a killed worker is detected.
        home: the folder of the search whose own journal this is, also after it was moved; None for other storages.
    """

    url: str
    grace: int
    home: Path | None = None

    @property
    @abstractmethod
    def storage(self) -> BaseStorage:
        """Optuna's storage."""

    @abstractmethod
    def lease(self, trial: FrozenTrial) -> AbstractContextManager[bool]:
        """Hold a trial until the block or this process ends; yields whether it was free."""

    @abstractmethod
    def reclaim(self, study: Study) -> None:
        """Return running trials that no worker holds to the queue, each exactly once."""


class _Lock:
    """A lock on a journal; Optuna's own locks outlive a killed process by half a minute.

    Its holder first removes an incomplete last record, for example after a full disk: the next record would be appended
    to it, and the journal could no longer be read.
    """

    def __init__(self, path: Path, journal: Path) -> None:
        self._lock = FileLock(path)
        self._journal = journal

    def acquire(self) -> bool:
        self._lock.acquire()
        if self._journal.exists():
            with self._journal.open("rb+") as file:
                _truncate_to_last_line(file)
        return True

    def release(self) -> None:
        self._lock.release()


def _truncate_to_last_line(file: BinaryIO) -> None:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 1))
    if file.read(1) not in (b"", b"\n"):
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)


class _Journal(Store):
    """Leases are file locks, which the OS releases when their process ends."""

    grace = 0

    def __init__(self, path: Path) -> None:
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        if path.exists():  # Optuna would skip the lines of another file and append to it
            if not path.is_file():
                raise ValueError("it is not a regular file")
            with path.open(encoding="utf-8") as lines:
                first = lines.readline()
            if first and "op_code" not in json.loads(first):
                raise ValueError("its first line is not a record of a journal")
        self.leases = path.with_suffix(".leases")
        self.leases.mkdir(parents=True, exist_ok=True)
        self.url = str(path.absolute())
        if path.name == JOURNAL and (path.parent / ".hydra").is_dir():
            self.home = path.parent.absolute()
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
                # Checked under its lease: of two processes only one finds it running.
                if free and self.storage.get_trial(trial._trial_id).state == TrialState.RUNNING:
                    requeue(study, trial)
                    self.storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)


def _lock_at_once(engine: Engine) -> None:
    """Make SQLite, which cannot lock rows, lock the database at the start of each transaction.

    Otherwise two workers that read "waiting" simultaneously both take the trial.
    """
    from sqlalchemy import event

    engine.dispose()  # open connections would not get the listeners

    def connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the driver must not begin transactions itself
        connection.execute(f"PRAGMA busy_timeout = {_LOCK_TIMEOUT * 1000}")

    def begun(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begun)


class _Database(Store):
    """Leases are heartbeats in the database, the only thing that workers share."""

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
    """The storage of a search: a database's URL, a journal's path, or by default the journal in `folder`."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)  # until the process ends
    path = folder / JOURNAL if given is None else Path(given)
    try:
        if given is not None and "://" in given:
            return _Database(given)
        path.parent.mkdir(parents=True, exist_ok=True)
        store = _Journal(path)
        store.storage.get_all_studies()
        return store
    except Exception as error:  # database drivers may raise any class
        reason = " ".join(str(error).split())[:200]
        raise RunError(
            f"search.storage={given or path} cannot be opened; expected a journal's path, or a database's URL such as "
            f"sqlite:///search.db: {reason}"
        ) from error
