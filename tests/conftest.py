"""Settings for all tests."""

import gc
import os

from hypothesis import HealthCheck, settings

from parity_table import pytest_terminal_summary

__all__ = ["pytest_terminal_summary"]

# One profile for everyone, with new examples at each run: where CI is set, Hypothesis would begin with another one. A
# failure prints what reproduces it, and .hypothesis/ keeps its example. The machines are noisy, so nothing is timed.
settings.register_profile(
    "regtorch",
    settings.get_profile("default"),
    max_examples=20,
    print_blob=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("quick", settings.get_profile("regtorch"), max_examples=10)
settings.register_profile("thorough", settings.get_profile("regtorch"), max_examples=100)
settings.load_profile("regtorch")

os.environ["KERAS_BACKEND"] = "torch"  # before anything imports keras
os.environ["OMP_NUM_THREADS"] = "1"  # for the processes that tests start


def pytest_collection_finish() -> None:
    """What costs a tenth of the time, and says nothing of what is tested."""
    import torch  # not needed by the process that hands out the tests

    gc.freeze()  # what is imported lives to the end, and is not looked through whenever garbage is collected
    gc.set_threshold(20_000, 20, 10)
    if not torch.cuda.is_available():  # else torch.manual_seed writes down the stack for each kind of device: 1 ms
        torch.cuda.manual_seed_all = torch.xpu.manual_seed_all = torch.mtia.manual_seed_all = lambda seed: None


def pytest_runtest_setup() -> None:
    """A test alone is the test among others; threads gain nothing on nets this small and wait for each other."""
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(1)
