"""The page of a folder that still grows: written anew, away from the runs, when a file that it reports appears."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from regtorch.app.ground.atomic import write_text
from regtorch.app.pages.environment import render
from regtorch.app.record.file_names import DIAGNOSIS, ERROR, JOURNAL, OVERRIDES, PATH, SEARCH, SUMMARY
from regtorch.app.record.walk import walk
from regtorch.app.report.page import PAGE, NothingYet, report

__all__ = ["Followed"]

_REREAD = (SUMMARY, ERROR, DIAGNOSIS, SEARCH)  # their contents count; of the others it is enough that they are there
_SEEN = (PATH, JOURNAL, Path(OVERRIDES).name)
_REST = 9.0  # times the seconds that writing took pass before it is written again, so that the runs keep the processor


class Followed:
    """The page of a folder, and its pictures.

    Args:
        root: the folder with runs, which may still be empty.
        place: an empty folder for the page; nothing is written into `root`.
    """

    def __init__(self, root: Path, place: Path) -> None:
        self.root = root
        self._page = place / PAGE
        self._stamp = ""
        self._again = 0.0  # when it may be written anew
        self._lock = threading.Lock()

    def page(self) -> tuple[str, bytes]:
        """The stamp of the page, which changes with it, and the page."""
        with self._lock:
            self._renew()
            return self._stamp, self._page.read_bytes()

    def stamp(self) -> str:
        """The stamp of the page as it is now."""
        with self._lock:
            self._renew()
            return self._stamp

    def picture(self, name: str) -> bytes | None:
        """A picture of the page by its name; None if there is none."""
        with self._lock:
            folder = self._page.with_suffix("")
            known = {path.name: path for path in folder.iterdir()} if folder.is_dir() else {}
            return known[name].read_bytes() if name in known else None

    def _renew(self) -> None:
        if self._stamp and time.monotonic() < self._again:
            return
        stamp = _stamp(self.root)
        if stamp == self._stamp:
            return
        start = time.monotonic()
        try:
            report(self.root, self._page, live=stamp)
        except NothingYet:
            title = f"Runs in {self.root.resolve().name or self.root}"
            text = render("waiting", title=title, live=stamp)
            write_text(self._page, text.encode(errors="replace").decode())
        self._stamp = stamp
        now = time.monotonic()
        self._again = now + _REST * (now - start)


def _stamp(root: Path) -> str:
    """What says whether there is something new."""
    digest = hashlib.sha256()
    for line in _lines(root):
        digest.update(os.fsencode(line) + b"\n")
    return digest.hexdigest()[:16]


def _lines(root: Path) -> Iterator[str]:
    for folder, _, files in walk(root):
        for name in sorted(files):
            path = Path(folder, name)
            if name in _SEEN:
                yield str(path)
            elif name in _REREAD:
                try:
                    about = path.stat()
                    yield f"{path} {about.st_mtime_ns} {about.st_size}"
                except OSError:  # gone in this moment
                    yield f"{path} gone"
