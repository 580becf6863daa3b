"""Devices and processes that this machine lacks."""

import os

import pytest
from omegaconf import OmegaConf

from regtorch.app.ground.errors import RunError
from regtorch.app.ground.processes import check_processes
from regtorch.app.run.devices import check_devices


def test_more_processes_than_the_machine_bears():
    most = 4 * (os.cpu_count() or 1)
    check_processes("search.workers", most)
    with pytest.raises(RunError, match=f"^search.workers: expected at most {most} processes on this machine, received"):
        check_processes("search.workers", most + 1)
    with pytest.raises(RunError, match=r"^trainer\.devices: expected at most"):
        check_devices(OmegaConf.create({"accelerator": "cpu", "devices": most + 1}))
    check_devices(OmegaConf.create({"accelerator": "cpu", "devices": most}))
