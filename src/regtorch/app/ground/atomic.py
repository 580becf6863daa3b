"""Files and folders that are written completely or not at all, even if the process is killed or the power fails.

Each is written under a temporary name in the same folder, flushed to disk and renamed. Only a killed process leaves its
temporary file behind; the next writer of the same file removes it.
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
except ImportError:  # Windows: leftovers cannot be distinguished from files being written, and stay
    fcntl = None

__all__ = ["atomic", "remove_leftovers", "write_figure", "write_png", "write_text"]

_ENDING = ".part"
_UNFINISHED = re.compile(rf"\..+\.[0-9a-f]{{8}}{re.escape(_ENDING)}", re.DOTALL)
_NO_FSYNC = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)


def write_text(path: Path, text: str) -> None:
    """Write a text as UTF-8; the folder need not exist."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_png(figure: Any, path: Path) -> None:
    """Write a matplotlib figure; the folder need not exist."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with atomic(path) as temporary:
        FigureCanvasAgg(figure).print_png(temporary)


def write_figure(figure: Any, path: Path, **options: Any) -> None:
    """Write a matplotlib figure in the format of the file's ending; the folder need not exist."""
    with atomic(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], **options)


@contextmanager
def atomic(path: Path, *, folder: bool = False) -> Iterator[Path]:
    """A temporary path that is renamed to `path` at the block's end, and removed if the block fails.

    Args:
        path: a file, which may exist, in a folder that need not exist.
        folder: create a folder instead, which must not exist or be empty.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent, path.name)
    with ExitStack() as locks:
        temporary = _begun(path, folder, locks)
        try:
            yield temporary
            for part in (*temporary.rglob("*"), temporary) if folder else (temporary,):
                _to_disk(part)
            if fcntl is None:  # Windows cannot rename open files
                locks.close()
            os.replace(temporary, path)
            _to_disk(path.parent)
        except BaseException:
            _remove(temporary)
            raise


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Remove temporary files of killed processes, of one file or of all below a folder; files in use are locked."""
    if fcntl is None:
        return
    found = folder.rglob(f".*{_ENDING}") if name is None else folder.glob(f".{escape(name)}.*{_ENDING}")
    for path in [path for path in found if _UNFINISHED.fullmatch(path.name)]:
        with suppress(OSError), ExitStack() as locks:  # being written, not ours, or already removed
            fcntl.flock(_opened(path, locks), fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(path)


def _begun(path: Path, folder: bool, locks: ExitStack) -> Path:
    """Create a temporary file or folder beside `path`, locked while it is written."""
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{_ENDING}")
        temporary.mkdir() if folder else temporary.touch(exist_ok=False)
        if fcntl is None:
            return temporary
        with suppress(OSError):  # a file system without locks
            fcntl.flock(_opened(temporary, locks), fcntl.LOCK_EX)
        if temporary.exists():  # another process may have removed it before it was locked
            return temporary


def _opened(path: Path, locks: ExitStack) -> int:
    descriptor = os.open(path, (os.O_RDONLY if path.is_dir() else os.O_RDWR) | os.O_NOFOLLOW | os.O_NONBLOCK)
    locks.callback(os.close, descriptor)
    return descriptor


def _to_disk(path: Path) -> None:
    """Flush a file, or a folder's list of files, to disk if the file system supports it."""
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
