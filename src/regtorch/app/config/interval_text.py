"""Times as text: `30s`, `10min`, `2h`."""

import math
import re
from typing import Any

__all__ = ["seconds_of"]

_SECONDS = {"s": 1, "min": 60, "h": 3600}
_TEXT = re.compile(r"(\d{1,9}(?:\.\d{1,9})?) ?(s|min|h)")


def seconds_of(text: Any) -> float | None:
    """The seconds of a time such as `10min`; None if it is no such text, or 0.

    >>> seconds_of("10min"), seconds_of("1.5h"), seconds_of("soon")
    (600.0, 5400.0, None)
    """
    found = _TEXT.fullmatch(text) if isinstance(text, str) else None
    seconds = float(found[1]) * _SECONDS[found[2]] if found else 0.0
    return seconds if 0 < seconds < math.inf else None
