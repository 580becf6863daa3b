"""The size and colour that images of one's own have in common, from their headers."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from regtorch.app.data.decode import header
from regtorch.app.data.listing import File

__all__ = ["LARGEST", "Looks", "looks"]

LARGEST = 64
"""The most pixels of the longer side that images get without a size."""
_SAMPLE = 200
_KEPT = 8
_KNOWN: dict[tuple[Any, ...], "Looks"] = {}  # of the last folders: a config asks for it, and the loading once more
_GREY = ("1", "L", "LA", "I", "F")


class Looks(NamedTuple):
    """What images are read as.

    Attributes:
        channels: 1 if all are grey, else 3.
        height: The median height, scaled with the width to at most `LARGEST` pixels of the longer side.
        width: The median width, scaled likewise.
        said: All of it in words.
    """

    channels: int
    height: int
    width: int
    said: str


def looks(files: Sequence[File], *, upright: bool = False) -> Looks:
    """Look at the headers of some images, spread evenly over all; unreadable ones do not count.

    The same files, unchanged, are looked at once.

    Args:
        files: The images, at least one.
        upright: Whether images are turned as their EXIF orientation says.
    """
    some = [files[i * len(files) // _SAMPLE] for i in range(_SAMPLE)] if len(files) > _SAMPLE else files
    key = upright, *map(_stamp, some)
    if key not in _KNOWN:
        found = _looks(some, upright)
        if len(_KNOWN) >= _KEPT:
            del _KNOWN[next(iter(_KNOWN))]
        _KNOWN[key] = found
    return _KNOWN[key]


def _stamp(file: File) -> tuple[str, int, int]:
    """What changes with a file."""
    if not isinstance(file, Path):
        inside = file.root.getinfo(file.at)
        return str(file), inside.CRC, inside.file_size
    try:
        seen = file.stat()
    except OSError:  # `header` tells what is wrong from what cannot be helped
        return str(file), 0, 0
    return str(file), seen.st_mtime_ns, seen.st_size


def _looks(files: Sequence[File], upright: bool) -> Looks:
    seen = [found for file in files if (found := header(file, upright=upright)) is not None]
    channels = 1 if seen and all(found.mode.partition(";")[0] in _GREY for found in seen) else 3
    kind = "grey" if channels == 1 else "in colour"
    if not seen:  # the decoder says what is wrong with the first one
        return Looks(channels, LARGEST, LARGEST, f"read at {LARGEST}×{LARGEST} {kind}")
    sides = {(found.height, found.width) for found in seen}
    height = round(statistics.median(found.height for found in seen))
    width = round(statistics.median(found.width for found in seen))
    scale = min(1.0, LARGEST / max(height, width))
    to = max(1, round(height * scale)), max(1, round(width * scale))
    if len(sides) == 1:
        why = "as they are" if scale == 1 else f"scaled down from {height}×{width}"
    else:
        why = f"their median size{'' if scale == 1 else f' {height}×{width}, scaled down'}"
    if any(found.turned for found in seen):
        why += ", turned upright as EXIF says"
    return Looks(channels, *to, f"read at {to[0]}×{to[1]} {kind} ({why})")
