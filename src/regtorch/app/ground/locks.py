"""Locks on folders: one process per run, one sweep per sweep folder, one download into a data folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

from regtorch.app.ground.errors import Failed
from regtorch.app.ground.folders import is_follower

__all__ = ["Busy", "claimed", "is_busy", "taking_turns"]


class Busy(Failed):
    """A folder is in use by another process."""


@contextmanager
def claimed(folder: Path, by: str = "process") -> Iterator[None]:
    """Lock a folder for the block; the OS releases the lock if the process dies.

    Raises:
        Busy: another process holds the lock.
    """
    from filelock import FileLock, Timeout

    if is_follower():
        yield
        return
    path = folder / ".hydra" / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise Busy(f"{folder} is in use by another {by}; start again when it has ended") from None
    except NotImplementedError:  # a file system without locks
        yield
        return
    try:
        yield
    finally:
        lock.release()


def is_busy(folder: Path) -> bool:
    """Whether another process has locked a folder."""
    try:
        with claimed(folder):
            return False
    except Busy:
        return True


@contextmanager
def taking_turns(folder: Path) -> Iterator[None]:
    """Wait until no other process of this machine is in such a block of the folder; no file is written."""
    descriptor = None if fcntl is None else os.open(folder, os.O_RDONLY)
    try:
        if fcntl is not None and descriptor is not None:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)
