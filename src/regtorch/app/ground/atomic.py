"""Files and folders that are written whole or not at all, also where the process is killed or the power fails.

Each grows under another name beside its own, so on the same file system, reaches the disk, and is renamed. Only a
process that is killed leaves that other name behind; whoever writes the same file next removes it.
"""

import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows: what was left behind cannot be told from what is being written, and stays
    fcntl = None

__all__ = ["remove_leftovers", "whole", "write_png", "write_text"]

_ENDING = ".part"
_UNFINISHED = re.compile(rf"\..+\.[0-9a-f]{{8}}{re.escape(_ENDING)}", re.DOTALL)
_NO_FSYNC = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)


def write_text(path: Path, text: str) -> None:
    """Write a text as UTF-8, into a folder that may not be there yet."""
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_png(figure: Any, path: Path) -> None:
    """Write matplotlib's figure, likewise."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with whole(path) as temporary:
        FigureCanvasAgg(figure).print_png(temporary)


@contextmanager
def whole(path: Path, *, folder: bool = False) -> Iterator[Path]:
    """What takes the name `path` at the block's end, and is gone where the block fails or is ended.

    Args:
        path: a file, which may be there already, in a folder that may not be there yet.
        folder: whether it is a folder instead, which is not there yet or is empty.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent, path.name)
    with ExitStack() as locks:
        temporary = _begun(path, folder, locks)
        try:
            yield temporary
            for part in (*temporary.rglob("*"), temporary) if folder else (temporary,):
                _to_disk(part)
            if fcntl is None:  # Windows renames nothing that is open
                locks.close()
            os.replace(temporary, path)
            _to_disk(path.parent)
        except BaseException:
            _remove(temporary)
            raise


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Remove what killed processes left unfinished; what somebody is writing is locked, and stays."""
    if fcntl is None:
        return
    found = folder.rglob(f".*{_ENDING}") if name is None else folder.glob(f".{escape(name)}.*{_ENDING}")
    for path in [path for path in found if _UNFINISHED.fullmatch(path.name)]:
        with suppress(OSError), ExitStack() as locks:  # it is being written, or is somebody else's, or gone
            fcntl.flock(_opened(path, locks), fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(path)


def _begun(path: Path, folder: bool, locks: ExitStack) -> Path:
    """A new file or folder beside `path`, which is locked for as long as it is written."""
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{_ENDING}")
        temporary.mkdir() if folder else temporary.touch(exist_ok=False)
        if fcntl is None:
            return temporary
        with suppress(OSError):  # a file system without locks
            fcntl.flock(_opened(temporary, locks), fcntl.LOCK_EX)
        if temporary.exists():  # or somebody took it for a leftover before it was locked
            return temporary


def _opened(path: Path, locks: ExitStack) -> int:
    descriptor = os.open(path, (os.O_RDONLY if path.is_dir() else os.O_RDWR) | os.O_NOFOLLOW | os.O_NONBLOCK)
    locks.callback(os.close, descriptor)
    return descriptor


def _to_disk(path: Path) -> None:
    """Wait until a file, or a folder's list of files, is on the disk, where the file system can say so."""
    if path.is_symlink() or (path.is_dir() and fcntl is None):
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FSYNC:
            raise
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
