"""The pictures of the documentation: each is measured or asked of the library when it is drawn."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from concepts import busy, decay, diagnosis, loop, norms, overview, proximal, selects, strength

__all__ = ["PICTURES"]

PICTURES: dict[str, Callable[[], str]] = {
    "overview": overview.drawn,
    "overview-narrow": partial(overview.drawn, columns=1),
    "strength": strength.drawn,
    "select": selects.drawn,
    "ways": loop.drawn,
    "decay": decay.drawn,
    "norms": norms.drawn,
    "proximal": proximal.drawn,
    "diagnosis": diagnosis.drawn,
    "busy": busy.drawn,
}
