"""The naive way in Hugging Face's Trainer, which docs/trainers.md warns of."""

from __future__ import annotations

import importlib

import pytest

pytest.importorskip("transformers")
pytest.importorskip("accelerate")


def test_a_penalty_in_the_loss_counts_once_for_each_accumulated_batch():
    assert importlib.import_module("trainers.naive").counted(2) == pytest.approx(2, rel=1e-5)
