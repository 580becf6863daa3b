"""Settings that runs of earlier versions lack."""

from collections.abc import Container, Mapping
from typing import Any

from regtorch.app.record.overrides import spelled

__all__ = ["LATER", "completed", "lacking"]

LATER: Mapping[str, Any] = {"settle_batch_norm": False}
"""What a run without the setting did."""


def completed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A run's settings, with what it did where it has no setting."""
    return {**LATER, **settings}


def lacking(known: Container[str]) -> list[str]:
    """What a run of a version that knew some of the settings did about the others, as overrides."""
    return [f"{key}={spelled(value)}" for key, value in LATER.items() if key not in known]
