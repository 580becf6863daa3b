"""Settings for all tests."""

import os
from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

# No deadlines: the machines are noisy. CI draws the same examples every time, a laptop new ones.
settings.register_profile("regtorch", deadline=None, max_examples=50, derandomize=bool(os.environ.get("CI")))
settings.load_profile("regtorch")

torch.set_num_threads(2)
os.environ["KERAS_BACKEND"] = "torch"  # before anything imports keras


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Threads gain nothing on nets this small, and wait for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
