"""Sharded weights: PyTorch's DTensors, under FSDP2 and tensor parallelism.

Values are always those of the full network. Reading one is a collective operation for all processes of the mesh.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from regtorch.numerics.unreplaced import NOTHING_REPLACED

__all__ = ["Share", "cut_again", "full", "is_flattened", "is_sharded", "own_part"]


def is_sharded(t: Tensor) -> bool:
    """Whether `t` is a DTensor."""
    return hasattr(t, "placements")


def is_flattened(t: Tensor) -> bool:
    """Whether `t` is part of FSDP1's flat buffer, which has lost the weight's shape."""
    return type(t).__name__ == "FlatParameter" or getattr(t, "_fsdp_flattened", False)


def full(t: Any) -> Tensor:
    """The full tensor, differentiable."""
    return t.full_tensor() if is_sharded(t) else t


def own_part(t: Any) -> Tensor:
    """The elements of a sharded tensor that this process holds; the tensor itself if it is not sharded."""
    return t.to_local() if is_sharded(t) else t


def cut_again(model: nn.Module) -> bool:
    """Let FSDP2 put the parts back where a forward pass without a backward pass has left whole weights.

    Optimizers know the parts alone, and what is written to a whole weight is lost. Nothing happens within a pass.

    Returns:
        Whether there is anything that FSDP2 cuts.
    """
    fsdp: Any = sys.modules.get("torch.distributed.fsdp")  # which nobody has cut without
    if fsdp is None or torch.compiler.is_compiling() or not torch.distributed.is_initialized():
        return False
    own = set(model.modules())
    modules: list[Any] = [module for module in own if isinstance(module, fsdp.FSDPModule)]
    states: Any = getattr(sys.modules.get("torch.distributed._composable_state"), "_module_state_mapping", ())
    for around in list(states):  # a net of which `model` is a part may be cut as a whole
        if (
            around not in own
            and isinstance(around, fsdp.FSDPModule)
            and any(part is model for part in around.modules())
        ):
            modules.append(around)
    if any(module._get_fsdp_state()._training_state.name != "IDLE" for module in modules):
        return False
    for module in modules:
        module.reshard()
    if modules:
        NOTHING_REPLACED.look_again()
    return bool(modules)


class Share:
    """The part of a sharded weight that this process works on: its own elements, whole units, or all of it.

    Args:
        sharded: the weight, a DTensor.
        whole: the dims that no part may cut; those of units. None means that all parts are the full weight.
        across: a dim to cut instead of one of `whole`.
    """

    def __init__(self, sharded: Any, whole: Sequence[int] | None, across: int = 0) -> None:
        from torch.distributed.tensor import Replicate, Shard

        self._sharded, self._mesh = sharded, sharded.device_mesh
        placements = sharded.placements
        cut = [getattr(p, "dim", None) for p in placements]
        if whole is not None and any(d in whole for d in cut):  # moved to whole units, unless nested in another way
            simple = all(type(p) in (Shard, Replicate) for p in placements)
            placements = [p if d is None else Shard(across) for p, d in zip(placements, cut, strict=True)]
            whole = whole if simple else None
        self._placements = [Replicate()] * len(cut) if whole is None else list(placements)

    @property
    def cuts(self) -> bool:
        """Whether no process works on the full weight."""
        return not all(p.is_replicate() for p in self._placements)

    def of(self, t: Any) -> Tensor:
        """This process's part of a tensor of the weight's shape, sharded or the same on all processes."""
        from torch.distributed.tensor import DTensor, Replicate

        if not is_sharded(t):
            t = DTensor.from_local(t, self._mesh, [Replicate()] * self._mesh.ndim, run_check=False)
        return t.redistribute(placements=self._placements).to_local()

    def back(self, part: Tensor) -> Tensor:
        """From the parts of all processes to a DTensor that is cut as the weight is."""
        from torch.distributed.tensor import DTensor

        like = self._sharded
        shape, stride = like.shape, _row_major(like.shape)
        part = part.contiguous()
        whole = DTensor.from_local(part, self._mesh, self._placements, run_check=False, shape=shape, stride=stride)
        return whole.redistribute(placements=like.placements)

    def sum(self, value: Tensor) -> Tensor:
        """The sum of the values of all parts, differentiable."""
        return self._over_all(value, "sum")

    def max(self, value: Tensor) -> Tensor:
        """The largest value of all parts."""
        return self._over_all(value, "max")

    def _over_all(self, value: Tensor, how: str) -> Tensor:
        from torch.distributed.tensor import DTensor, Partial, Replicate

        each = [Replicate() if p.is_replicate() else Partial(how) for p in self._placements]
        return DTensor.from_local(value, self._mesh, each, run_check=False).full_tensor()


def _row_major(shape: Sequence[int]) -> tuple[int, ...]:
    strides = [1]
    for size in reversed(shape[1:]):
        strides.insert(0, strides[0] * max(1, size))
    return tuple(strides[: len(shape)])
