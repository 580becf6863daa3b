"""One process at a time in a run's folder, and one sweep in a sweep's."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from regtorch.app.ground.errors import RunError
from regtorch.app.ground.folders import is_follower

__all__ = ["Busy", "claimed", "is_busy"]


class Busy(RunError):
    """Another process works in a folder."""


@contextmanager
def claimed(folder: Path, by: str = "process") -> Iterator[None]:
    """Hold a folder until the block, or this process, ends: the system drops a lock with the process that holds it.

    Raises:
        Busy: another process holds it.
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
        raise Busy(f"{folder} is another {by}'s, which is at work in it; start again when it has ended") from None
    except NotImplementedError:  # a file system without locks
        yield
        return
    try:
        yield
    finally:
        lock.release()


def is_busy(folder: Path) -> bool:
    """Whether another process holds a folder."""
    try:
        with claimed(folder):
            return False
    except Busy:
        return True
