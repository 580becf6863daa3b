"""The states of the global random number generators, as tensors and plain values."""

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

__all__ = ["restore_generators", "states_of_generators"]


def states_of_generators() -> dict[str, Any]:
    """The states of Python's, NumPy's and PyTorch's generators, those of all CUDA devices included."""
    state: Any = np.random.get_state(legacy=True)
    kind, keys, position, has_gauss, gauss = state
    return {
        "python": random.getstate(),
        "numpy": (kind, torch.from_numpy(keys.astype(np.int64)), int(position), int(has_gauss), float(gauss)),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_generators(states: Mapping[str, Any]) -> None:
    """Set the generators to states from `states_of_generators`; devices that are not there now are left out."""
    random.setstate(states["python"])
    kind, keys, *rest = states["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(states["torch"])
    for device, state in enumerate(states["cuda"][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(state, device)
