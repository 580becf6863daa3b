"""Settings that runs of earlier versions lack."""

from collections.abc import Container, Mapping
from typing import Any, TypeGuard

from regtorch.app.record.overrides import spelled

__all__ = ["LATER", "completed", "lacking"]

LATER: Mapping[str, Any] = {"settle_batch_norm": False}
"""What a run without the setting did."""
_OF_FOLDERS: Mapping[str, Any] = {"upright": False}
"""The same, of data in folders of images."""
_FOLDERS = ("interpolation", "min_size", "on_error")  # settings that these data have and no others


def completed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A run's settings, with what it did where it has no setting."""
    found, data = {**LATER, **settings}, settings.get("data")
    return {**found, "data": {**_OF_FOLDERS, **data}} if _of_folders(data) else found


def lacking(known: Container[str]) -> list[str]:
    """What a run of a version that knew some of the settings did about the others, as overrides."""
    found = {key: value for key, value in LATER.items() if key not in known}
    data = known.get("data") if isinstance(known, Mapping) else None
    if _of_folders(data):
        found |= {f"++data.{key}": value for key, value in _OF_FOLDERS.items() if key not in data}
    return [f"{key}={spelled(value)}" for key, value in found.items()]


def _of_folders(data: Any) -> TypeGuard[Mapping[str, Any]]:
    ours = isinstance(data, Mapping) and str(data.get("_target_")).startswith("regtorch.data.")
    return ours and all(key in data for key in _FOLDERS)
