"""Walk through the folders of runs, also those that links lead to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["walk"]


def walk(root: Path, onerror: Callable[[OSError], object] | None = None) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Each folder with the names of the folders, in order, and of the files in it, as `os.walk` gives them.

    What is removed from the first list is not walked. A link to a folder elsewhere is followed, as runs may lie on
    another disk. A link to a folder that is walked anyway is not, so that no run counts twice and circles end.

    Args:
        root: the first folder.
        onerror: called with the error of a folder that cannot be read.
    """
    home = os.path.realpath(root)
    walked = [home]

    def leads_on(path: str) -> bool:
        if not os.path.islink(path):
            return True
        target = os.path.realpath(path)
        if _within(home, target) or any(_within(target, other) for other in walked):
            return False
        walked.append(target)
        return True

    for path, below, files in os.walk(root, onerror=onerror, followlinks=True):
        below[:] = [name for name in sorted(below) if leads_on(os.path.join(path, name))]
        yield Path(path), below, files


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)
