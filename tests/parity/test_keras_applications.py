"""Nets of live keras.applications, with random weights: a training step, and outputs with and without their top."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import keras_applications
import pytest
from comparing import Compare

from places import ROOT

pytest.importorskip("keras")
NAMES = keras_applications.applications()
WITHIN = 1e-9  # rounding in float64; the largest found is 100 times smaller
RECORDED = json.loads((ROOT / "tests" / "parity" / "keras_applications.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def process() -> Iterator[ProcessPoolExecutor]:
    """One net at a time; a new process after ten nets gives their memory back."""
    with ProcessPoolExecutor(
        1, get_context("spawn"), initializer=keras_applications.prepare, max_tasks_per_child=10
    ) as pool:
        yield pool


@pytest.mark.slow
@pytest.mark.parity("keras.applications: a training step, outputs with and without top", "Keras 3 (torch), float64")
@pytest.mark.parametrize("name", NAMES)
def test_an_application(name: str, process: ProcessPoolExecutor, compare: Compare):
    found = process.submit(keras_applications.compared, name).result()
    for difference in found:
        compare(difference, 0.0, within=WITHIN)


def test_the_differences_of_every_net_are_written_down():
    assert list(RECORDED) == NAMES
    assert all(0 <= difference <= WITHIN for found in RECORDED.values() for difference in found)
