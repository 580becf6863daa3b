import torch

from regtorch.app.ground.denormals import flushed_denormals


def test_tiny_numbers_are_zero_inside_and_as_before_outside():
    def product() -> float:
        return (torch.tensor(1e-40) * 1.0).item()

    assert product() > 0
    with flushed_denormals():
        assert product() == 0
        with flushed_denormals():
            assert product() == 0
        assert product() == 0
    assert product() > 0
