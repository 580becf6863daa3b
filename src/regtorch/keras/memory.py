"""Refuse nets larger than this machine's memory, before anything is allocated."""

from __future__ import annotations

import os
from typing import Any

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["MemoryLimit", "refuse_too_large"]


def _memory() -> int:
    """This machine's memory in bytes; a tebibyte if unknown."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return 2**40


class MemoryLimit(TorchDispatchMode):
    """Refuses tensors larger than this machine's memory, while a net is built and run on the meta device."""

    def __init__(self) -> None:
        super().__init__()
        self.most = _memory()

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
        return f"is larger than this machine's memory of {self.most / 1e9:,.0f} GB; reduce its sizes"


def refuse_too_large(net: nn.Module) -> None:
    """Refuse a net whose weights are larger than this machine's memory.

    Raises:
        ValueError: they are.
    """
    needed = {name: t.numel() * t.element_size() for name, t in (*net.named_parameters(), *net.named_buffers())}
    most = _memory()
    if sum(needed.values()) > most:
        largest = max(needed, key=needed.__getitem__)
        raise ValueError(
            f"from_config: the net's weights need {sum(needed.values()) / 1e9:,.0f} GB, of which {largest} has "
            f"{needed[largest] / 1e9:,.0f}, and this machine's memory has {most / 1e9:,.0f}; reduce its layers' sizes"
        )
