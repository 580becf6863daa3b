"""What was compared, with whom, and how far apart it was: a table at the end of the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from comparing import Compare

RECORDS = pytest.StashKey[dict[tuple[str, str], list[float]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[RECORDS] = {}


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
def compare(request: pytest.FixtureRequest) -> Compare:
    """Marked by `pytest.mark.parity(what, whom)`, in which {parameter} stands for the test's."""
    parameters = getattr(request.node, "callspec", None)
    values = parameters.params if parameters else {}
    what, whom = (text.format(**values) for text in request.node.get_closest_marker("parity").args)
    records = request.config.stash[RECORDS].setdefault((what, whom), [])

    def compare(ours: Any, theirs: Any, *, within: float) -> None:
        apart = difference(ours, theirs)
        records.append(apart)
        assert apart <= within, f"{what}: {apart:.3g} away from {whom}, allowed are {within:g}"

    return compare


@pytest.fixture
def floatx(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Sets Keras's float type for one test."""
    import keras
    from keras.src.backend.common import dtypes

    # Outside TensorFlow Keras 3 multiplies float64 matrices in float32, to be like JAX; here it must not.
    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")

    def set_to(dtype: str) -> None:
        keras.config.set_floatx(dtype)
        keras.config.set_dtype_policy(dtype)  # made from the float type only once

    before = keras.config.floatx()
    yield set_to
    set_to(before)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    rows = [(*key, len(apart), max(apart)) for key, apart in config.stash[RECORDS].items() if apart]
    if not rows:
        return
    terminalreporter.section("parity: largest difference, relative to the largest number compared")
    first, second = (max(len(row[i]) for row in rows) for i in (0, 1))
    for what, whom, cases, apart in rows:
        terminalreporter.write_line(f"{what:{first}}  {whom:{second}}  {cases:6,} comparisons  {apart:8.1e}")
