import os

import pytest
import torch

from regtorch.app.run.cuda_check import cheap_cuda_check

NAME = "PYTORCH_NVML_BASED_CUDA_CHECK"


@pytest.mark.parametrize(("devices", "inside"), [(0, "0"), (1, "1")])
def test_queries_the_runtime_without_a_device(monkeypatch: pytest.MonkeyPatch, devices: int, inside: str) -> None:
    monkeypatch.setenv(NAME, "1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: devices)
    with cheap_cuda_check():
        assert os.environ[NAME] == inside
    assert os.environ[NAME] == "1"


def test_restores_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NAME, raising=False)
    with pytest.raises(KeyError), cheap_cuda_check():
        raise KeyError
    assert NAME not in os.environ
