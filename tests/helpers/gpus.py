"""Devices of tests: the CPU everywhere, a GPU where there is one, and a pretended one that finds every wait for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["DEVICES", "WAITS", "Waited", "pretended_gpu", "waits"]

DEVICES = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
WAITS = {"SpectralNorm", "SpectralMax", "SpectralMax tight"}  # they iterate, or look whether there is anything to do
_COPIES = (torch.ops.aten._to_copy, torch.ops.aten.copy_)


class Waited(Exception):
    """The program has waited for the GPU."""


class _NoCopies(TorchDispatchMode):
    """Refuses copies between devices, which wait unless they are told not to."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if func.overloadpacket in _COPIES:
            kinds = {x.device.type for x in (*args, out) if isinstance(x, Tensor)}
            blocking = not ((kwargs or {}).get("non_blocking") or (len(args) > 2 and args[2]))
            if len(kinds) > 1 and blocking:
                raise Waited("a copy between the CPU and the GPU")
        return out


@contextmanager
def pretended_gpu() -> Iterator[None]:
    """Tensors on "cuda" have shapes and no values: whatever asks for a value raises."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


@contextmanager
def waits() -> Iterator[None]:
    """Raise `Waited` where a program would wait for the pretended GPU."""
    try:
        with _NoCopies():
            yield
    except DataDependentOutputException as e:
        raise Waited("a value is read") from e
