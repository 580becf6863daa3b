"""Schedules on a command line: `warmup:1000`, `linear:1:0:300`, `warmup:500|cosine:2000`."""

import re
from dataclasses import MISSING, fields
from functools import reduce
from operator import or_
from typing import Any

from regtorch import schedules
from regtorch.app.config.kinds import shown
from regtorch.app.ground.errors import RunError, nearest
from regtorch.schedules import Schedule

__all__ = ["read_schedule"]

_KINDS = {kind.__name__: kind for kind in (schedules.warmup, schedules.linear, schedules.cosine, schedules.step)}
_FORMS = "warmup:1000, linear:1:0:300, cosine:2000, step:1000:0.5 or several in a row: 'warmup:500|cosine:2000'"


def read_schedule(key: str, given: Any) -> Schedule | None:
    """Parse a schedule; None for null.

    Raises:
        RunError: not a schedule.

    Example:
        >>> read_schedule("reg.schedule", "warmup:500|cosine:2000")
        warmup(500) | cosine(2000, 0)
    """
    if given is None:
        return None
    if not isinstance(given, str):
        raise RunError(f"{key}: expected {_FORMS}, or null; received {shown(given)}")
    try:
        return reduce(or_, [_part(key, text.strip(), given) for text in given.split("|")])
    except (TypeError, ValueError) as error:
        raise RunError(f"{key}: {error}; received {shown(given)}") from None


def _part(key: str, text: str, given: str) -> Schedule:
    name, *values = text.split(":")
    if name not in _KINDS:
        raise RunError(f"{key}: expected {_FORMS}; received {shown(text)} in {shown(given)}{nearest(name, _KINDS)}")
    kind: Any = _KINDS[name]
    arguments = fields(kind)
    needed = [f.name.upper() for f in arguments if f.default is MISSING]
    further = [f"[:{f.name.upper()}]" for f in arguments if f.default is not MISSING]
    form = ":".join([name, *needed]) + "".join(further)
    if not len(needed) <= len(values) <= len(arguments) or not all(map(_is_number, values)):
        raise RunError(f"{key}: expected {form} with numbers, received {shown(text)}")
    return kind(*(int(value) if re.fullmatch(r"\d+", value) else float(value) for value in values))


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", text, re.IGNORECASE | re.ASCII) is not None
