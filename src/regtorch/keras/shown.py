"""A value in a message: short, and safe to print however deep or large it is."""

from __future__ import annotations

import reprlib

__all__ = ["shown"]

_REPR = reprlib.Repr()
_REPR.maxlevel, _REPR.maxlist, _REPR.maxtuple, _REPR.maxdict = 3, 8, 8, 6
_REPR.maxstring = _REPR.maxlong = _REPR.maxother = 100


def shown(value: object) -> str:
    """The value's repr, cut where it is long."""
    try:
        return _REPR.repr(value)
    except (ValueError, RecursionError):  # an int of more digits than Python prints, or a repr without an end
        return f"a {type(value).__name__}"
