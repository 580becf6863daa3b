from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning.pytorch.strategies import SingleDeviceStrategy

from regtorch.app.figures.history import draw
from regtorch.lightning.means import SampledMean, WeightedMean

VALUES = st.lists(st.floats(-10, 10), min_size=2, max_size=30)


@given(VALUES)
def test_a_mean_with_every_step_measured_is_exact(values: list[float]):
    mean = SampledMean(values[0])
    for step, value in enumerate(values[1:], start=1):
        mean.add(value, step)
    assert mean.value() == pytest.approx(sum(values[:-1]) / (len(values) - 1), abs=1e-9)


@given(st.floats(-5, 5), st.floats(-5, 5), st.sets(st.integers(1, 40), min_size=1))
def test_any_samples_of_a_line_give_the_same_mean(start: float, slope: float, known: set[int]):
    mean = SampledMean(start)
    for step in sorted(known):
        mean.add(start + slope * step, step)
    last = max(known)
    assert mean.value() == pytest.approx(sum(start + slope * i for i in range(last)) / last, abs=1e-9)


def test_without_steps_the_mean_is_the_first_value():
    assert SampledMean(3.0).value() == 3.0


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_picture_of_one_epoch_and_without_validation(tmp_path: Path, epochs: int):
    metrics = {"train/loss": 2.0, "train/task_loss": 1.0, "train/accuracy": 0.5}
    draw([{"epoch": e, **metrics} for e in range(1, 1 + epochs)], tmp_path / "deep" / "history.png")
    assert (tmp_path / "deep" / "history.png").read_bytes().startswith(b"\x89PNG")
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["history.png"]


def test_a_mean_over_processes_is_weighted_by_samples() -> None:
    class Two(SingleDeviceStrategy):
        """Another process has a total of 6 from 1 sample."""

        def reduce(self, tensor: Any, *args: Any, **kwargs: Any) -> Any:
            return tensor + (6.0 if tensor.dtype == torch.float32 else 1.0)

    mean = WeightedMean()
    mean.add(torch.tensor(2.0), 2)
    assert mean.value() == 2.0
    assert mean.value(Two("cpu")) == (2 * 2 + 6) / 3
    mean.add_zero(2)
    assert mean.value() == 1.0
