"""The tests may themselves run in a notebook."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def without_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JPY_PARENT_PID", raising=False)
