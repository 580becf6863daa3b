"""Downloads by torchvision that leave either the complete data set or nothing."""

import io
import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory

__all__ = ["DownloadError", "download"]

_TIMEOUT = 15.0  # seconds without a byte; torchvision would wait forever


class DownloadError(RuntimeError):
    """A failed download; the message gives a short reason."""


def download(
    fetch: Callable[[str], object], dir: Path, folder: str, complete: Callable[[], bool] = lambda: False
) -> None:
    """Fetch a data set into a temporary folder beside its target, then rename the folder.

    Processes that want the same data set wait for each other, and the later ones find it there. On different machines,
    which cannot wait for each other, the first to finish has its copy taken, and the others drop theirs.

    Args:
        fetch: Downloads and unpacks into a folder, as a torchvision data set with `download=True` does.
        dir: The data folder; created if missing, and removed again if the download fails.
        folder: The folder in `dir` for the data set; absent or empty.
        complete: Whether the data set is there, as another process has fetched it.

    Raises:
        DownloadError: Nothing was fetched and nothing has changed.
    """
    from regtorch.app.ground.atomic import atomic  # here, because only a download needs them
    from regtorch.app.ground.locks import taking_turns

    target = (dir / folder).resolve()  # may be a link to another disk
    absent = [path for path in target.parents if not path.exists()]
    _refuse_read_only(absent[-1].parent if absent else target.parent)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with taking_turns(target.parent):
            if complete():
                return
            with atomic(target, folder=True) as fetched, TemporaryDirectory(dir=fetched) as scratch:
                with _timeout(_TIMEOUT), redirect_stdout(io.StringIO()):
                    fetch(scratch)
                for file in (Path(scratch) / folder).iterdir():
                    if file.suffix != ".gz":  # torchvision keeps the archives that it unpacked
                        os.rename(file, fetched / file.name)
    except BaseException as error:
        for path in absent:
            with suppress(OSError):
                path.rmdir()
        if isinstance(error, OSError) and complete():
            return
        if isinstance(error, OSError | RuntimeError | HTTPException | EOFError):
            raise DownloadError(_reason(error)) from error
        raise


def _refuse_read_only(folder: Path) -> None:
    """Refuse a read-only folder, to which an administrator could still write."""
    if not folder.stat().st_mode & 0o222 or not os.access(folder, os.W_OK):
        raise DownloadError(f"{folder} is read-only")


@contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _reason(error: BaseException) -> str:
    """The last line of an error (the last mirror's), without the prefixes of urllib and the system."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[-1]
    line = re.sub(r"^<urlopen error (.*)>$", r"\1", line)
    return re.sub(r"^\[Errno -?\d+\] ", "", line)
