"""Weights cut over all processes, in a Trainer: FSDP2."""

from collections.abc import Iterator, Mapping
from typing import Any

from lightning.pytorch.strategies import ModelParallelStrategy, StrategyRegistry
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from regtorch.numerics.sharded import is_sharded

__all__ = ["FullyShard", "load_whole", "shard"]


class FullyShard(ModelParallelStrategy):
    """Lightning's `ModelParallelStrategy` with every process in the data-parallel group, and whole checkpoints.

    Each process holds a part of each weight, of its gradient and of the optimizer's state, by PyTorch's `fully_shard`
    (FSDP2). A `RegularizedModule` is sharded by itself; a module of your own does so in `configure_model`, as by
    `shard(self.net, self.device_mesh["data_parallel"])`. A checkpoint is one file, as of a single process.

    Args:
        options: further arguments of `ModelParallelStrategy`.

    Example:
        >>> import lightning
        >>> from regtorch.lightning import FullyShard
        >>> trainer = lightning.Trainer(strategy=FullyShard(), devices=2, accelerator="gpu")  # doctest: +SKIP
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(data_parallel_size=1, tensor_parallel_size=1, save_distributed_checkpoint=False, **options)

    def setup_environment(self) -> None:
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()


StrategyRegistry.register("fully_shard", FullyShard, description="FSDP2 over all processes")


def shard(net: nn.Module, mesh: DeviceMesh) -> None:
    """Shard a net over `mesh` by `fully_shard`: each item of its Sequentials and ModuleLists, then the rest; once.

    Weights that several items share stay with the net, which gathers them for the entire pass.
    """
    if isinstance(net, FSDPModule):
        return
    for block in _blocks(net):
        fully_shard(block, mesh=mesh)
    fully_shard(net, mesh=mesh)


def load_whole(module: nn.Module, state: Mapping[str, Any]) -> None:
    """Load a state dict of full tensors, on every process, into a module that may be sharded."""
    for part in module.modules():
        if isinstance(part, FSDPModule):
            part.reshard()  # a pass without a backward pass leaves whole weights
    if any(is_sharded(p) for p in module.parameters()):
        set_model_state_dict(module, dict(state), options=StateDictOptions(full_state_dict=True))
    else:
        module.load_state_dict(state)


def _blocks(net: nn.Module) -> Iterator[nn.Module]:
    """The modules that a pass calls one after another, and that share no weight with the rest."""
    for child in net.children():
        if isinstance(net, nn.Sequential | nn.ModuleList) and not isinstance(child, nn.ModuleList | nn.ModuleDict):
            own = {id(p) for p in child.parameters()}
            elsewhere = {id(p) for other in net.children() if other is not child for p in other.parameters()}
            if own and own.isdisjoint(elsewhere):
                yield child
        else:
            yield from _blocks(child)
