"""Refuse nets larger than this machine's free memory, before anything is allocated."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from regtorch.memory import free_memory

__all__ = ["MemoryLimit", "refuse_too_large"]


_DRAWN = 16  # bytes for each number of a variable while its initializer draws it: two copies in float64


class MemoryLimit(TorchDispatchMode):
    """Refuses tensors larger than this machine's free memory, while a net is built and run on the meta device."""

    def __init__(self) -> None:
        super().__init__()
        self.most = free_memory()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Check the result of an operation.

        Raises:
            ValueError: a tensor is too large.
        """
        try:
            result = func(*args, **(kwargs or {}))
        except RuntimeError as error:
            if "overflow" in str(error):
                raise ValueError(f"a tensor {self._too_large()} ({error})") from None
            raise
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and tensor.numel() * tensor.element_size() > self.most:
                raise ValueError(f"a tensor of shape {tuple(tensor.shape)} {self._too_large()}")
        return result

    def _too_large(self) -> str:
        return f"is larger than this machine's free memory of {self.most / 1e9:,.1f} GB; reduce its sizes"


def refuse_too_large(net: nn.Module) -> None:
    """Refuse a net whose weights, and the drawing of the largest, need more than this machine's free memory.

    Raises:
        ValueError: they do.
    """
    tensors = dict((*net.named_parameters(), *net.named_buffers()))
    largest = max(tensors, key=lambda name: tensors[name].numel(), default=None)
    if largest is None:
        return
    weights = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    drawn, free = _DRAWN * tensors[largest].numel(), free_memory()
    if weights + drawn > free:
        raise ValueError(
            f"from_config: the net's weights need {weights / 1e9:,.1f} GB, drawing the largest, {largest}, another "
            f"{drawn / 1e9:,.1f}, and this machine's free memory has {free / 1e9:,.1f}; reduce its layers' sizes"
        )
