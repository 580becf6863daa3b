"""A folder that behaves as another file system: nothing is renamed or linked into it, and copies into it are told."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

__all__ = ["another_file_system"]


def another_file_system(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let `folder` be on another disk; what is copied across its border is added to the list that is returned."""
    copied: list[str] = []

    def crosses(source: Any, target: Any) -> bool:
        return (
            len({folder in (path := Path(os.path.abspath(p))).parents or path == folder for p in (source, target)}) > 1
        )

    def refusing(call: Callable[..., Any]) -> Callable[..., Any]:
        def refused(source: Any, target: Any, *arguments: Any, **options: Any) -> Any:
            if crosses(source, target):
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(source), None, str(target))
            return call(source, target, *arguments, **options)

        return refused

    def noting(call: Callable[..., Any]) -> Callable[..., Any]:
        def noted(source: Any, target: Any, *arguments: Any, **options: Any) -> Any:
            if crosses(source, target):
                copied.append(str(target))
            return call(source, target, *arguments, **options)

        return noted

    for name in ("rename", "replace", "link"):
        monkeypatch.setattr(os, name, refusing(getattr(os, name)))
    for name in ("copyfile", "copy", "copy2", "copytree"):
        monkeypatch.setattr(shutil, name, noting(getattr(shutil, name)))
    return copied
