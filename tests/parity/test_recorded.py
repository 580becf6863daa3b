"""Recorded runs of Keras 2.14 on TensorFlow, float64: the same weights, batches and numbers at every step."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from comparing import Compare
from recorded import run

from thinned import thinned

RUNS: dict[str, dict[str, Any]] = {
    name: case
    for file in sorted(Path(__file__).parent.glob("keras-2.14-*.json"))
    for name, case in json.loads(file.read_text()).items()
}


# Each run goes one of the two ways, in turn; that both end at the same weights is proved by steps/test_optimizers.py.
IN_TURN = {(name, (1, 3)[at % 2]) for at, name in enumerate(RUNS)}


@pytest.mark.sampled(9)
@pytest.mark.filterwarnings("ignore:.*the weight_decay of AdamW")  # meant here
@pytest.mark.parametrize(("name", "way"), thinned(product(RUNS, (1, 3)), lambda name, way: (name, way) in IN_TURN))
@pytest.mark.parity("recorded runs: loss and penalty at every step, final weights", "Keras 2.14 (TensorFlow), float64")
def test_every_number(name: str, way: int, compare: Compare):
    case = RUNS[name]
    ours = run(case, way)
    for i, (loss, theirs) in enumerate(zip(ours.total_loss, case["total_loss"], strict=True)):
        assert loss == pytest.approx(theirs, rel=1e-10), f"step {i}"
        compare(loss, theirs, within=1e-10)
    for value, theirs in zip(ours.penalty, case["penalty"], strict=True):
        compare(value, theirs, within=1e-10)
    compare(ours.eval_total_loss, case["eval_total_loss"], within=1e-10)
    for (_, norm), (_, theirs) in zip(ours.final_sum_and_norm, case["final_sum_and_norm"], strict=True):
        compare(norm, theirs, within=1e-10)
