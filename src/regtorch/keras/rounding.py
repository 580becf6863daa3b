"""Numbers that Keras 2 passes to TensorFlow as float32, even in a float64 net."""

import torch

__all__ = ["round_to_float32"]


def round_to_float32(value: float) -> float:
    """The float32 nearest to `value`."""
    return torch.tensor(value, dtype=torch.float32, device="cpu").item()
