"""Compilation made fast, for tests of what is compiled."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch

from regtorch.steps.one_pass import whole


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The functions as they were before compilation, which is slow."""
    made: list[Any] = []
    monkeypatch.setattr(torch, "compile", lambda function, **_: made.append(function) or function)
    monkeypatch.setattr(whole, "is_compiled", lambda: True)
    return made


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile as far as to a graph of operations, without making code of it, which is slow."""
    compiler: Any = importlib.import_module("torch._inductor.compile_fx")
    eager: Any = importlib.import_module("torch._dynamo.backends.debugging").aot_eager
    monkeypatch.setattr(compiler, "compile_fx", lambda graph, examples, **_: eager(graph, examples))
