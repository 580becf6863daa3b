"""Causes in words."""

from __future__ import annotations

from regtorch.doctor.causes import CAUSES

__all__ = ["in_words"]


def in_words(cause: str) -> str:
    """The title of a cause; of one that another version wrote, its identifier."""
    return CAUSES[cause].title if cause in CAUSES else cause.replace("_", " ").capitalize()
