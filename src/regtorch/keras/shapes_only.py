"""Run a net for its shapes alone, and refuse one larger than this machine's free memory, before it is allocated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from regtorch.memory import free_memory

__all__ = ["ShapesOnly", "refuse_too_large"]


_DRAWN = 16  # bytes for each number of a variable while its initializer draws it: two copies in float64
# For these, torch imports its compiler on the meta device, which takes longer than to build a net of 50 layers.
_POINTWISE = {
    *(torch.add, torch.sub, torch.mul, torch.div, torch.maximum, torch.minimum, torch.square, torch.relu),
    *(Tensor.add, Tensor.sub, Tensor.mul, Tensor.div, Tensor.__rsub__, Tensor.square, Tensor.clamp, Tensor.relu),
    *(F.relu, F.hardtanh, F.hardswish, F.hardsigmoid, F.leaky_relu, F.elu, F.selu, F.celu, F.gelu, F.mish),
    *(F.softplus, F.softsign),
}


class ShapesOnly(TorchFunctionMode):
    """Runs functions on the meta device, and refuses results larger than this machine's free memory."""

    def __init__(self) -> None:
        super().__init__()
        self.most = free_memory()

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call the function, and check its result.

        Raises:
            ValueError: a tensor is too large.
        """
        try:
            result = _known(func, args, kwargs or {})
            result = func(*args, **(kwargs or {})) if result is None else result
        except RuntimeError as error:
            if "overflow" in str(error):
                raise ValueError(f"a tensor {self._too_large()} ({error})") from None
            raise
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor) and tensor.numel() * tensor.element_size() > self.most:
                raise ValueError(f"a tensor of shape {tuple(tensor.shape)} {self._too_large()}")
        return result

    def _too_large(self) -> str:
        return f"is larger than this machine's free memory of {self.most / 1e9:,.1f} GB; reduce its sizes"


def _known(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor | None:
    """The result of a function whose shape needs no code of torch; None for any other."""
    tensors = [x for x in args if isinstance(x, Tensor)]
    if len({x.dtype for x in tensors}) != 1 or not tensors[0].is_floating_point() or kwargs.keys() & {"out", "dtype"}:
        return None
    if func is Tensor.mean:
        return torch.sum(*args, **kwargs)
    if func is F.linear and not kwargs:
        x, weight, *_ = args
        return x.new_empty((*x.shape[:-1], len(weight))) if x.shape[-1:] == weight.shape[1:] else None
    if any(isinstance(x, Tensor) for x in kwargs.values()):
        return None
    if func in _POINTWISE and all(isinstance(x, Tensor | int | float | None) for x in args):
        sizes = list(zip_longest(*(reversed(x.shape) for x in tensors), fillvalue=1))
        if all(len({1, *size}) <= 2 for size in sizes):
            return tensors[0].new_empty([next((n for n in size if n != 1), 1) for size in reversed(sizes)])
    return None


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
