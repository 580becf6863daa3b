"""The size and colour that images of one's own have in common, from their headers."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

from regtorch.app.data.decode import header
from regtorch.app.data.listing import File

__all__ = ["LARGEST", "Looks", "looks"]

LARGEST = 64
"""The most pixels of the longer side that images get without a size."""
_SAMPLE = 200
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


def looks(files: Sequence[File]) -> Looks:
    """Look at the headers of some images, spread evenly over all; unreadable ones do not count.

    Args:
        files: The images, at least one.
    """
    some = [files[i * len(files) // _SAMPLE] for i in range(_SAMPLE)] if len(files) > _SAMPLE else files
    seen = [found for file in some if (found := header(file)) is not None]
    channels = 1 if seen and all(mode.partition(";")[0] in _GREY for mode, _, _ in seen) else 3
    kind = "grey" if channels == 1 else "in colour"
    if not seen:  # the decoder says what is wrong with the first one
        return Looks(channels, LARGEST, LARGEST, f"read at {LARGEST}×{LARGEST} {kind}")
    height, width = (round(statistics.median(sides)) for sides in zip(*(found[1:] for found in seen), strict=True))
    scale = min(1.0, LARGEST / max(height, width))
    to = max(1, round(height * scale)), max(1, round(width * scale))
    if len({found[1:] for found in seen}) == 1:
        why = "as they are" if scale == 1 else f"scaled down from {height}×{width}"
    else:
        why = f"their median size{'' if scale == 1 else f' {height}×{width}, scaled down'}"
    return Looks(channels, *to, f"read at {to[0]}×{to[1]} {kind} ({why})")
