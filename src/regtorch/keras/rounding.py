"""Numbers that Keras 2 hands to TensorFlow as 32-bit floats, also where the net is float64."""

import torch

__all__ = ["through_float32"]


def through_float32(value: float) -> float:
    """The float32 nearest to `value`."""
    return torch.tensor(value, dtype=torch.float32, device="cpu").item()
