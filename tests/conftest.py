"""Settings for all tests."""

import gc
import os

from hypothesis import HealthCheck, settings
from hypothesis.database import DirectoryBasedExampleDatabase

from parity_table import pytest_terminal_summary
from thinned import pytest_collection_modifyitems

__all__ = ["pytest_collection_modifyitems", "pytest_terminal_summary"]

# The fast tests take the same examples everywhere and always, so that a change alone can make them fail; the slow ones
# (`make test-slow`) draw new examples, print what reproduces a failure, and keep it in .hypothesis/. The machines are
# noisy, so nothing is timed.
settings.register_profile(
    "regtorch",
    settings.get_profile("default"),
    max_examples=20,
    derandomize=True,
    database=None,
    print_blob=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("quick", settings.get_profile("regtorch"), max_examples=10)
settings.register_profile(
    "thorough",
    settings.get_profile("regtorch"),
    max_examples=100,
    derandomize=False,
    database=DirectoryBasedExampleDatabase(".hypothesis/examples"),
)
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
