"""What a parity test compares is handed, through its report, to the table at the end of the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from comparing import Compare

from parity_table import PARITY


def array(x: Any) -> np.ndarray[Any, Any]:
    if isinstance(x, torch.Tensor):
        return x.detach().cpu().numpy()
    return np.asarray(x)


def difference(ours: Any, theirs: Any) -> float:
    """The largest |ours - theirs|, relative to the largest |theirs|."""
    a, b = array(ours), array(theirs)
    assert a.shape == b.shape
    assert np.isfinite(a).all()
    a, b = a.astype(np.float64), b.astype(np.float64)
    largest = np.abs(b).max(initial=0.0)
    # Scaled first, so that numbers near the largest that exist can be subtracted.
    return float(np.abs(a / largest - b / largest).max()) if largest else float(np.abs(a).max(initial=0.0))


@pytest.fixture
def compare(request: pytest.FixtureRequest) -> Iterator[Compare]:
    """Marked by `pytest.mark.parity(what, whom)`, in which {parameter} stands for the test's."""
    parameters = getattr(request.node, "callspec", None)
    values = parameters.params if parameters else {}
    what, whom = (text.format(**values) for text in request.node.get_closest_marker("parity").args)
    records: list[float] = []

    def compare(ours: Any, theirs: Any, *, within: float) -> None:
        apart = difference(ours, theirs)
        records.append(apart)
        assert apart <= within, f"{what}: {apart:.3g} away from {whom}, allowed are {within:g}"

    yield compare
    if records:
        request.node.user_properties.append((PARITY, (what, whom, len(records), max(records))))


@pytest.fixture
def floatx(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Sets Keras's float type for one test."""
    from keras.src.backend.common import dtypes

    import keras

    # Outside TensorFlow Keras 3 multiplies float64 matrices in float32, to be like JAX; here it must not.
    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")

    def set_to(dtype: str) -> None:
        keras.config.set_floatx(dtype)
        keras.config.set_dtype_policy(dtype)  # made from the float type only once

    before = keras.config.floatx()
    yield set_to
    set_to(before)
